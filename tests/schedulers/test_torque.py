"""Torque, on the captured output of Torque 6: of its git head, and of a 6.1.3 with a mom and a scheduler."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from sweep.errors import SchedulerBusy, SchedulerError, SchedulerRefused, SchedulerSilent
from sweep.model import Limits, Outcome, TaskRef, TaskState
from sweep.schedulers import Place, Reply, SoughtJob, SubmitRequest, pbsoutput
from sweep.schedulers.base import CallFailure
from sweep.schedulers.pbs import Pbs
from sweep.schedulers.torque import Torque
from tests.conftest import pbs_capture, torque_capture
from tests.schedulers.replay import replay, reply

REQUEST = SubmitRequest("/f/j0001.sh", "toy.j0001.ab12", None, "/f/j0001.log")


def test_every_outcome() -> None:
    tasks = [TaskRef(f"{n}.vm:16001") for n in (1, 5, 6, 7, 8, 9)]
    tasks += [TaskRef("2[].vm:16001", 1), TaskRef("4[].vm:16001", 0), TaskRef("77.vm:16001")]
    answer, [call] = replay(Torque().poll(tasks), [reply(pbs_capture("torque-qstat-f-t-final.txt"))])
    exit3, deleted, walltime, killed, exit300, ok, subjob, held, unknown = (
        answer.statuses[task] for task in tasks
    )
    assert (exit3.outcome, exit3.exit_code) == (Outcome.FAILED, 3)
    assert (deleted.outcome, deleted.exit_code) == (Outcome.CANCELLED, None)
    assert walltime.outcome is Outcome.TIMEOUT
    assert (killed.outcome, killed.signal) == (Outcome.CANCELLED, 15)
    assert (deleted.cancelled_by, killed.cancelled_by) == ("", "")  # Torque does not say
    assert exit300.exit_code == 44
    assert (ok.outcome, ok.exit_code) == (Outcome.COMPLETED, 0)
    assert (subjob.exit_code, subjob.job_name) == (3, "sweep-1")
    assert held.state is TaskState.PENDING
    assert unknown.state is TaskState.ABSENT
    assert call.argv[:3] == ("qstat", "-f", "-t")  # without -t, an array's id lists the whole server


def test_an_unknown_id_is_an_answer_and_a_dead_server_is_not() -> None:
    unknown = reply(pbs_capture("torque-err-qstat-f-unknown.txt"))
    answer, _ = replay(Torque().poll([TaskRef("99999.vm")]), [unknown])
    assert answer.statuses[TaskRef("99999.vm")].state is TaskState.ABSENT
    with pytest.raises(SchedulerSilent):
        replay(Torque().poll([TaskRef("1.vm")]), [reply(pbs_capture("torque-err-server-down-qstat.txt"))])


def test_a_task_that_a_living_array_does_not_name_is_not_absent() -> None:
    tasks = [TaskRef("494[].vm", index) for index in (0, 2, 5, 6)] + [TaskRef("495[].vm", 6), TaskRef("494.vm")]
    unknown = "qstat: Unknown Job Id Error 495[].vm\n"
    shown = replace(reply(torque_capture("qstat-f-t-array-mixed")), exit_code=153, stderr=unknown)
    answer, _ = replay(Torque().poll(tasks), [shown])
    assert [answer.statuses[task].state for task in tasks] == [
        TaskState.RUNNING, TaskState.PENDING, TaskState.ENDED, TaskState.UNNAMED, TaskState.ABSENT, TaskState.ABSENT,
    ]  # fmt: skip
    assert answer.statuses[tasks[3]].job_name == "mix"  # the array's: is it ours?
    living = reply(torque_capture("qstat-f-t-array-mixed"))
    ended = replace(living, stdout=re.sub("job_state = .", "job_state = C", living.stdout))
    answer, _ = replay(Torque().poll(tasks), [ended])
    assert answer.statuses[tasks[3]].state is TaskState.ABSENT


def test_ids_without_a_servers_name() -> None:
    """display_job_server_suffix is off on some servers, and some sites' wrappers print the number alone."""
    array = SubmitRequest("/f/j0001.sh", "sfxa", None, "/f/j0001.log")
    job_id, [call] = replay(Torque().submit(array), [reply(torque_capture("qsub-array-no-suffix"))])
    assert job_id == "351[]"
    assert replay(Torque().submit(array), [Reply(0, "349\n")])[0] == "349"
    shown = reply(torque_capture("qstat-no-suffix"))
    text = shown.stdout[shown.stdout.index("Job Id:") :]
    answer, _ = replay(Torque().poll([TaskRef(job_id, 1), TaskRef(job_id, 0)]), [replace(shown, stdout=text)])
    assert [status.state for status in answer.statuses.values()] == [TaskState.PENDING, TaskState.UNNAMED]
    _, [call] = replay(Torque().cancel([], [TaskRef(job_id, 1)]), [Reply(0)])
    assert call.argv == ("qdel", "351[1]")
    assert Torque().spell(TaskRef(job_id, 1)) == "351[1]"
    ids, _ = replay(Torque().find([SoughtJob("sfxa", 1)]), [Reply(0), Reply(0, "351[1]\n")])
    assert ids == {"sfxa": "351[]"}


def test_an_array_in_a_routing_queue_waits() -> None:
    """The server knows it, and shows none of its tasks until it has routed it."""
    task, other = TaskRef("9[].vm", 3), TaskRef("494[].vm", 0)
    answer, _ = replay(Torque().poll([task]), [Reply(0, "")])
    assert answer.statuses[task].state is TaskState.PENDING
    assert "routed" in answer.statuses[task].reason
    answer, _ = replay(Torque().poll([task, other]), [reply(torque_capture("qstat-f-t-array-mixed"))])
    assert [answer.statuses[ref].state for ref in (task, other)] == [TaskState.PENDING, TaskState.RUNNING]
    with pytest.raises(SchedulerSilent):  # of a single job, that is no answer
        replay(Torque().poll([TaskRef("9.vm")]), [Reply(0, "")])


def test_one_odd_id_silences_no_server() -> None:
    """Another user's id, an exit code that is new: what is shown is an answer all the same."""
    ours, theirs, gone = TaskRef("494[].vm", 0), TaskRef("72.vm"), TaskRef("99999.vm")
    odd = reply(torque_capture("qstat-unknown-and-known"))
    shown = replace(reply(torque_capture("qstat-f-t-array-mixed")), exit_code=159, stderr=odd.stderr)
    answer, _ = replay(Torque().poll([ours, theirs, gone]), [shown])
    states = [answer.statuses[ref].state for ref in (ours, theirs, gone)]
    assert states == [TaskState.RUNNING, TaskState.ABSENT, TaskState.ABSENT]
    new = replace(shown, exit_code=77, stderr="qstat: something new\n")
    answer, _ = replay(Torque().poll([ours, gone]), [new])
    assert answer.statuses[ours].state is TaskState.RUNNING
    assert gone not in answer.statuses  # nobody said anything of it
    assert "something new" in answer.notes[0]
    with pytest.raises(SchedulerSilent):
        replay(Torque().poll([ours]), [Reply(77, "", "qstat: something new\n")])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("qstat-f-held", "held by its user"),
        ("qstat-f-queue-stopped", "Queue not started."),
        ("qstat-f-t-array-mixed", ""),
    ],
)
def test_why_a_job_waits(name: str, reason: str) -> None:
    shown = reply(torque_capture(name))
    full_id = re.findall(r"Job Id: (\S+)", shown.stdout)[0]
    number, index = pbsoutput.split_id(full_id)
    task = TaskRef(full_id if index is None else f"{number}[].vm", index)
    answer, _ = replay(Torque().poll([task]), [shown])
    assert answer.statuses[task].reason == reason


@pytest.mark.parametrize(
    ("name", "outcome", "exit_code", "signal"),
    [
        ("qstat-f-walltime-exceeded", Outcome.TIMEOUT, None, None),
        ("qstat-f-deleted-running", Outcome.CANCELLED, None, 15),
        ("qstat-f-segv", Outcome.FAILED, None, 11),
        ("qstat-f-exit-300", Outcome.FAILED, 44, None),
    ],
)
def test_how_a_job_ended(name: str, outcome: Outcome, exit_code: int | None, signal: int | None) -> None:
    shown = reply(torque_capture(name))
    task = TaskRef(re.findall(r"Job Id: (\S+)", shown.stdout)[0])
    answer, _ = replay(Torque().poll([task]), [shown])
    status = answer.statuses[task]
    assert (status.outcome, status.exit_code, status.signal) == (outcome, exit_code, signal)


def test_an_array_is_found_by_the_name_of_its_first_task() -> None:
    nothing, first = reply(torque_capture("qselect-N-array")), reply(torque_capture("qselect-N-array-sub"))
    ids, calls = replay(Torque().find([SoughtJob("arr", 1)]), [nothing, first])
    assert ids == {"arr": "1[].vm"}
    assert [call.argv for call in calls] == [("qselect", "-N", "arr"), ("qselect", "-N", "arr-1")]
    ids, calls = replay(Torque().find([SoughtJob("arr")]), [nothing])
    assert (ids, len(calls)) == ({}, 1)
    single, _ = replay(Torque().find([SoughtJob("one", 0)]), [reply(torque_capture("qselect-N-single"))])
    assert list(single) == ["one"]


def test_the_servers_limits_of_arrays() -> None:
    queue, nodes = reply(torque_capture("qstat-Q-f")), reply(torque_capture("pbsnodes-a"))
    plain, _ = replay(Torque().limits(Place("eve")), [reply(torque_capture("qstat-B-f")), queue, nodes])
    assert (plain.max_array_size, plain.max_throttle, plain.max_idle) == (1000, None, 300)
    limited = reply(torque_capture("qstat-B-f-max-job-array-size"))
    limits, _ = replay(Torque().limits(Place("eve")), [limited, queue, nodes])
    assert limits.max_array_size == 20
    everything = replace(
        limited, stdout=limited.stdout.replace("nppcu", "max_slot_limit = 3\n    idle_slot_limit = 50\n    nppcu")
    )
    limits, _ = replay(Torque().limits(Place("eve")), [everything, queue, nodes])
    assert (limits.max_throttle, limits.max_idle) == (3, 50)


def test_submit() -> None:
    assert replay(Torque().submit(REQUEST), [reply(pbs_capture("torque-qsub-single.txt"))])[0] == "1.vm:16001"
    one_task = SubmitRequest("/f/j0001.sh", "toy.j0001.ab12", 4, "/f/j0001.log")
    job_id, [call] = replay(Torque().submit(one_task), [reply(pbs_capture("torque-qsub-array.txt"))])
    assert job_id == "2[].vm:16001"
    assert call.argv == ("qsub", "-N", "toy.j0001.ab12", "-v", "SWEEP_TASK=4", "/f/j0001.sh")


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("torque-err-unknown-queue.txt", SchedulerRefused),
        ("torque-err-bad-walltime.txt", SchedulerRefused),
        ("torque-err-walltime-max.txt", SchedulerRefused),
        ("torque-err-array-too-big.txt", SchedulerRefused),
        ("torque-err-J.txt", SchedulerRefused),
        ("torque-err-max_user_queuable.txt", SchedulerBusy),
        ("torque-err-max_queuable.txt", SchedulerBusy),
        ("torque-err-server-down-qsub.txt", SchedulerSilent),
    ],
)
def test_what_qsub_refuses(name: str, error: type[SchedulerError]) -> None:
    with pytest.raises(SchedulerError) as caught:
        replay(Torque().submit(REQUEST), [reply(pbs_capture(name))])
    assert type(caught.value) is error


def test_cancel() -> None:
    completed = reply(pbs_capture("torque-err-qdel-completed.txt"))
    _, calls = replay(Torque().cancel(["1.vm", "2[].vm"], []), [completed, Reply(0)])
    assert [call.argv for call in calls] == [("qdel", "1.vm"), ("qdel", "2[].vm")]


def test_version() -> None:
    assert (
        replay(Torque().version(), [reply(pbs_capture("torque-qstat-version.txt")), Reply(0)])[0]
        == "Torque master"
    )
    with pytest.raises(SchedulerSilent):
        replay(Torque().version(), [reply(pbs_capture("openpbs-qstat-version.txt"))])


def test_limits_are_the_servers_the_queues_and_the_nodes() -> None:
    """The replies are written after the Torque Administrator Guide. No capture has limits."""
    server = Reply(0, "Server: vm\n    default_queue = batch\n    max_user_queuable = 100\n")
    queue = Reply(0, "Queue: batch\n    resources_max.walltime = 48:00:00\n    resources_max.mem = 64gb\n")
    nodes = Reply(0, "vm\n     state = free\n     np = 16\n     status = physmem=24684096kb,ncpus=2\n")
    limits, _ = replay(Torque().limits(Place("eve")), [server, queue, nodes])
    assert limits == Limits(
        1000, max_queued=100, max_idle=300, walltime_s=172800, memory_mib=24105, cpus=16, gpus=0
    )
    with pytest.raises(SchedulerSilent):
        replay(Torque().limits(Place("eve")), [reply(pbs_capture("torque-err-server-down-qstat.txt"))])


@pytest.mark.parametrize(
    ("name", "directive"),
    [
        ("torque-err-unknown-queue.txt", "-q"),
        ("torque-err-bad-walltime.txt", "walltime"),
        ("torque-err-bad-resource.txt", "foo"),
        ("torque-err-walltime-max.txt", "walltime"),
    ],
)
def test_a_refusal_names_the_directive_it_is_about(name: str, directive: str) -> None:
    with pytest.raises(SchedulerRefused) as caught:
        replay(Torque().submit(SubmitRequest("/f/j.sh", "n", None, "/f/j.log")), [reply(pbs_capture(name))])
    assert caught.value.directive == directive


def test_a_part_of_an_array() -> None:
    part = SubmitRequest("/f/j.sh", "n", None, "/f/j.log", span=(5, 5), after="11.vm")
    _, [call] = replay(Torque().submit(part), [Reply(0, "37[].vm\n")])
    assert call.argv == ("qsub", "-N", "n", "-t", "5-5", "-W", "depend=afterany:11.vm", "/f/j.sh")
    behind = SubmitRequest("/f/j.sh", "n", None, "/f/j.log", after="4[].vm")
    ended = reply(pbs_capture("torque-depend-array-any.txt"))
    job_id, [waits, at_once] = replay(Torque().submit(behind), [ended, Reply(0, "38.vm\n")])
    assert waits.argv == ("qsub", "-N", "n", "-W", "depend=afteranyarray:4[].vm", "/f/j.sh")
    assert (job_id, at_once.argv) == ("38.vm", ("qsub", "-N", "n", "/f/j.sh"))


def test_a_qstat_of_the_other_dialect_is_told() -> None:
    """Both have a qstat. It says whose it is, and no server is asked."""
    for version, of_torque, of_pbs in (
        (Reply(0, "", "Version: 6.1.3\nCommit: x\n"), "", "qstat is Torque's"),
        (Reply(0, "pbs_version = 23.06.06\n"), "qstat is OpenPBS's", ""),
        (Reply(1, "", 'error: unknown option "--version"\n'), "", ""),  # a third one's
        (Reply(None, failure=CallFailure.NOT_FOUND), "", ""),
    ):
        assert replay(Torque().others_client(), [version])[0] == of_torque
        assert replay(Pbs().others_client(), [version])[0] == of_pbs
