"""OpenPBS, on the captured output of OpenPBS 23.06.06 and its git head."""

from __future__ import annotations

import pytest

from sweep.errors import SchedulerBusy, SchedulerError, SchedulerRefused, SchedulerSilent
from sweep.model import Limits, Outcome, SchedulerStatus, TaskRef, TaskState
from sweep.schedulers import Place, Reply, SoughtJob, SubmitRequest, pbsoutput
from sweep.schedulers.pbs import Pbs
from tests.conftest import CAPTURES, pbs_capture
from tests.schedulers.replay import replay, reply

REQUEST = SubmitRequest("/f/j0001.sh", "toy.j0001.ab12", None, "/f/j0001.log")


def poll(tasks: list[TaskRef], *names: str) -> tuple[dict[TaskRef, SchedulerStatus], list[tuple[str, ...]]]:
    answer, calls = replay(Pbs().poll(tasks), [reply(pbs_capture(name)) for name in names])
    return dict(answer.statuses), [call.argv for call in calls]


def test_a_running_job() -> None:
    statuses, calls = poll([TaskRef("11.vm")], "openpbs-qstat-f-json-single-running.json")
    status = statuses[TaskRef("11.vm")]
    assert (status.state, status.job_name, status.exit_code) == (TaskState.RUNNING, "train1", None)
    assert calls == [("qstat", "-x", "-t", "-f", "-F", "json", "11.vm")]


def test_a_job_that_ended_with_3() -> None:
    statuses, _ = poll([TaskRef("11.vm")], "openpbs-qstat-x-f-json-single-finished-exit3.json")
    status = statuses[TaskRef("11.vm")]
    assert (status.outcome, status.exit_code, status.elapsed_s, status.cpu_s) == (Outcome.FAILED, 3, 15, 5)
    assert status.peak_memory_mib == pytest.approx(167588 / 1024)


def test_every_outcome() -> None:
    """Read the whole history of one server, as JSON."""
    text = (CAPTURES / "pbs" / "openpbs-qstat-x-f-json-all-outcomes.json").read_text()
    ids = {"exit 0": "17", "walltime": "23", "trapped walltime": "24", "deleted running": "28", "segv": "29",
           "kill -9": "30", "exec failed": "31", "exit 300": "32"}  # fmt: skip
    tasks = [TaskRef(f"{number}.vm") for number in ids.values()]
    answer, _ = replay(Pbs().poll(tasks), [Reply(0, text)])
    ends = {name: answer.statuses[TaskRef(f"{number}.vm")] for name, number in ids.items()}
    assert ends["walltime"].outcome is Outcome.TIMEOUT
    assert ends["trapped walltime"].outcome is Outcome.TIMEOUT
    assert ends["deleted running"].outcome is Outcome.CANCELLED
    assert ends["deleted running"].reason == "deleted by pbsuser@localhost"
    assert ends["deleted running"].cancelled_by == "pbsuser@localhost"
    assert {end.cancelled_by for name, end in ends.items() if name != "deleted running"} == {""}
    assert (ends["segv"].outcome, ends["segv"].exit_code) == (Outcome.FAILED, 139)
    assert (ends["kill -9"].outcome, ends["kill -9"].exit_code) == (Outcome.FAILED, 137)
    assert ends["exec failed"].exit_code == 254
    assert ends["exit 300"].exit_code == 44
    assert ends["exit 0"].outcome is Outcome.COMPLETED


def test_out_of_memory() -> None:
    statuses, _ = poll([TaskRef("136.vm")], "openpbs-qstat-x-f-json-mem-exceeded.json")
    assert statuses[TaskRef("136.vm")].outcome is Outcome.OUT_OF_MEMORY


def test_a_dependency_that_failed_never_ran() -> None:
    statuses, _ = poll([TaskRef("15.vm")], "openpbs-qstat-x-f-json-depend-failed.json")
    assert (statuses[TaskRef("15.vm")].outcome, statuses[TaskRef("15.vm")].exit_code) == (Outcome.CANCELLED, None)


def test_subjobs_of_a_running_array_and_their_parents_exit_status() -> None:
    """A queued subjob is printed with its parent's Exit_status 0. It has not ended."""
    tasks = [TaskRef("528[].vm", index) for index in range(12)]
    statuses, _ = poll(tasks, "openpbs-qstat-t-f-json-array-mixed.json")
    states = [statuses[task].state for task in tasks]
    assert set(states) == {TaskState.ENDED, TaskState.RUNNING, TaskState.PENDING}
    for task in tasks:
        status = statuses[task]
        assert (status.exit_code is None) == (
            status.state is not TaskState.ENDED or status.outcome is Outcome.CANCELLED
        )


def test_subjobs_deleted_before_they_started_have_no_exit_status_of_their_own() -> None:
    tasks = [TaskRef("35[].vm", index) for index in range(6)]
    statuses, _ = poll(tasks, "openpbs-qstat-t-x-f-json-array-deleted-final.json")
    assert {statuses[task].outcome for task in tasks} == {Outcome.CANCELLED}
    assert {statuses[task].exit_code for task in tasks} == {None}
    # Three of them ran. Of the others, PBS does not say who deleted them.
    ran = {task.index for task in tasks if statuses[task].cancelled_by == "pbsuser@localhost"}
    assert ran == {0, 2, 5}
    assert {statuses[task].cancelled_by for task in tasks if task.index not in ran} == {""}


def test_poll_asks_for_text_where_the_json_has_only_the_first_id() -> None:
    """OpenPBS issue 2672: the git head's JSON shows only the first of several ids."""
    tasks = [TaskRef("11.vm"), TaskRef("16.vm")]
    text = pbs_capture("openpbs-qstat-x-f-single-finished-exit3.txt")[0]
    both = Reply(0, text + "\n" + text.replace("Job Id: 11.vm", "Job Id: 16.vm"))
    answer, calls = replay(Pbs().poll(tasks), [reply(pbs_capture("openpbs-qstat-json-two-ids.json")), both])
    assert [answer.statuses[task].exit_code for task in tasks] == [3, 3]
    assert [call.argv[:4] for call in calls] == [("qstat", "-x", "-t", "-f"), ("qstat", "-x", "-t", "-f")]


def test_poll_asks_for_text_where_the_json_is_broken() -> None:
    broken = (CAPTURES / "pbs" / "json-traps-23.06.06" / "name-nan.json").read_text(errors="surrogateescape")
    assert pbsoutput.read_json(broken) is None
    text = pbs_capture("openpbs-qstat-x-f-single-finished-exit3.txt")
    answer, _ = replay(Pbs().poll([TaskRef("11.vm")]), [Reply(0, broken), reply(text)])
    assert answer.statuses[TaskRef("11.vm")].exit_code == 3


@pytest.mark.parametrize(
    "path", sorted((CAPTURES / "pbs" / "json-traps-23.06.06").glob("*.json")), ids=lambda p: p.name
)
def test_hostile_json_reads_correctly_or_not_at_all(path: object) -> None:
    text = path.read_text(errors="surrogateescape")  # type: ignore[attr-defined]
    records = pbsoutput.read_json(text)
    if records is not None:
        assert all(record.get("job_state", "Q") in "QHWRESFXBTMU" for record in records.values())


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in sorted((CAPTURES / "pbs").glob("*qstat*-f*.txt"))
        if path.read_text(errors="replace").startswith("Job Id")
    ],
    ids=lambda path: path.name,
)
def test_every_captured_text_listing_reads(path: object) -> None:
    text = path.read_text(errors="surrogateescape")  # type: ignore[attr-defined]
    records = pbsoutput.read_text(text)
    assert len(records) == sum(line.startswith("Job Id:") for line in text.splitlines())
    assert all(record.get("job_state") and record.get("Job_Name") for record in records.values())


def test_poll_leaves_out_x_where_the_history_is_off() -> None:
    nothing = reply(pbs_capture("openpbs-nohist-qstat-x-f-json.txt"))
    running = pbs_capture("openpbs-qstat-f-single-running.txt")
    answer, calls = replay(
        Pbs().poll([TaskRef("11.vm"), TaskRef("4.vm")]),
        [nothing, Reply(153, running[0], "qstat: Unknown Job Id 4.vm")],
    )
    assert answer.statuses[TaskRef("11.vm")].state is TaskState.RUNNING
    assert answer.statuses[TaskRef("4.vm")].state is TaskState.ABSENT
    assert calls[1].argv == ("qstat", "-t", "-f", "11.vm", "4.vm")


def test_a_dead_server_and_an_empty_queue_print_the_same_json() -> None:
    dead, empty = (
        pbs_capture("openpbs-err-server-down-qstat-f-json.txt"),
        pbs_capture("openpbs-qstat-f-json-empty.json"),
    )
    assert pbsoutput.read_json(dead[0]) == pbsoutput.read_json(empty[0]) == {}
    with pytest.raises(SchedulerSilent):
        replay(Pbs().poll([TaskRef("11.vm")]), [reply(dead)])
    unknown = reply(pbs_capture("openpbs-err-qstat-unknown.txt"))
    answer, _ = replay(
        Pbs().poll([TaskRef("99999.vm")]), [reply(pbs_capture("openpbs-err-qstat-unknown-fjson.txt")), unknown]
    )
    assert answer.statuses[TaskRef("99999.vm")].state is TaskState.ABSENT


def test_submit() -> None:
    assert replay(Pbs().submit(REQUEST), [reply(pbs_capture("openpbs-qsub-single.txt"))])[0] == "11.vm"
    job_id, [call] = replay(Pbs().submit(REQUEST), [reply(pbs_capture("openpbs-qsub-array.txt"))])
    assert job_id == "19[].vm"
    assert call.argv == ("qsub", "-N", "toy.j0001.ab12", "/f/j0001.sh")


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("openpbs-err-unknown-queue.txt", SchedulerRefused),
        ("openpbs-err-bad-walltime.txt", SchedulerRefused),
        ("openpbs-err-bad-resource.txt", SchedulerRefused),
        ("openpbs-err-array-single.txt", SchedulerRefused),
        ("openpbs-err-array-too-big.txt", SchedulerRefused),
        ("openpbs-err-bad-name-space.txt", SchedulerRefused),
        ("openpbs-err-queue-walltime-max.txt", SchedulerRefused),
        ("openpbs-err-queue-acl.txt", SchedulerRefused),
        ("openpbs-err-qsub-as-root.txt", SchedulerRefused),
        ("openpbs-err-max_queued-user.txt", SchedulerBusy),
        ("openpbs-err-max_queuable.txt", SchedulerBusy),
        ("openpbs-err-max_queued-overall.txt", SchedulerBusy),
        ("openpbs-err-queue-disabled.txt", SchedulerBusy),
        ("openpbs-err-server-down-qsub.txt", SchedulerSilent),
        ("openpbs-err-server-unknown-host-qsub.txt", SchedulerSilent),
    ],
)
def test_what_qsub_refuses(name: str, error: type[SchedulerError]) -> None:
    with pytest.raises(SchedulerError) as caught:
        replay(Pbs().submit(REQUEST), [reply(pbs_capture(name))])
    assert type(caught.value) is error


def test_cancel_never_mixes_arrays_and_singles() -> None:
    """The git head's qdel aborts where they are mixed (captured: exit code -6), and deletes nothing."""
    talk = Pbs().cancel(["19[].vm", "11.vm", "12.vm"], [TaskRef("35[].vm", 2)])
    finished = reply(pbs_capture("openpbs-err-qdel-finished.txt"))
    _, calls = replay(
        talk, [finished, reply(pbs_capture("openpbs-err-qdel-subjob-of-finished-array.txt")), Reply(0)]
    )
    assert [call.argv for call in calls] == [("qdel", "11.vm", "12.vm"), ("qdel", "35[2].vm"), ("qdel", "19[].vm")]
    with pytest.raises(SchedulerSilent):
        replay(Pbs().cancel(["11.vm"], []), [reply(pbs_capture("openpbs-err-server-down-qdel.txt"))])


def test_version() -> None:
    assert (
        replay(Pbs().version(), [reply(pbs_capture("openpbs-qstat-version.txt")), Reply(0)])[0]
        == "OpenPBS 23.06.06"
    )
    with pytest.raises(SchedulerSilent):
        replay(Pbs().version(), [reply(pbs_capture("torque-qstat-version.txt"))])


def test_find_by_name() -> None:
    ids, _ = replay(Pbs().find([SoughtJob("sweep")]), [reply(pbs_capture("openpbs-qselect-N.txt"))])
    assert ids == {"sweep": "19[].vm"}


def test_limits_are_the_servers_the_queues_and_the_nodes() -> None:
    server, nodes = pbs_capture("openpbs-qstat-B-f-json.json"), pbs_capture("openpbs-pbsnodes-json.json")
    queue = pbs_capture("openpbs-qstat-Q-f-json.json")
    limits, calls = replay(Pbs().limits(Place("eve")), [reply(server), reply(queue), reply(nodes)])
    assert limits == Limits(10000, memory_mib=24105, cpus=16, gpus=0)
    assert calls[1].argv == ("qstat", "-Q", "-f", "-F", "json", "workq")
    # The same documents with limits set, spelled as the OpenPBS Administrator's Guide does.
    limited = server[0].replace(
        '"max_array_size":\t10000', '"max_array_size":\t50, "max_queued":"[u:PBS_GENERIC=5]"'
    )
    short = queue[0].replace(
        '"enabled":', '"max_run": "[u:eve=3]", "resources_max": {"walltime": "24:00:00", "ncpus": 8}, "enabled":'
    )
    limits, _ = replay(Pbs().limits(Place("eve", "workq")), [Reply(0, limited), Reply(0, short), Reply(None)])
    assert limits == Limits(50, max_queued=5, max_running=3, walltime_s=86400, cpus=8)
    with pytest.raises(SchedulerSilent):
        replay(Pbs().limits(Place("eve")), [reply(pbs_capture("openpbs-err-server-down-qstat-f-json.txt"))])


@pytest.mark.parametrize(
    ("name", "directive"),
    [
        ("openpbs-err-unknown-queue.txt", "-q"),
        ("openpbs-err-bad-walltime.txt", "walltime"),
        ("openpbs-err-bad-mem.txt", "mem"),
        ("openpbs-err-bad-resource.txt", "foo"),
        ("openpbs-err-array-single.txt", "-J"),
        ("openpbs-err-array-too-big.txt", "-J"),
        ("openpbs-err-queue-walltime-max.txt", "-l"),
        ("openpbs-err-bad-name-space.txt", "-N"),
    ],
)
def test_a_refusal_names_the_directive_it_is_about(name: str, directive: str) -> None:
    with pytest.raises(SchedulerRefused) as caught:
        replay(Pbs().submit(SubmitRequest("/f/j.sh", "n", None, "/f/j.log")), [reply(pbs_capture(name))])
    assert caught.value.directive == directive


def test_a_part_of_an_array_even_of_one_task_that_waits_for_another_job() -> None:
    part = SubmitRequest("/f/j.sh", "n", None, "/f/j.log", span=(5, 9), throttle=2, after="11.vm")
    _, [call] = replay(Pbs().submit(part), [Reply(0, "37[].vm\n")])
    assert call.argv == ("qsub", "-N", "n", "-J", "5-9%2", "-W", "depend=afterany:11.vm", "/f/j.sh")
    # -J 5-5 is refused: openpbs-err-array-single.txt.
    _, [call] = replay(
        Pbs().submit(SubmitRequest("/f/j.sh", "n", None, "/l", span=(5, 5))), [Reply(0, "38[].vm\n")]
    )
    assert call.argv == ("qsub", "-N", "n", "-J", "5-6:2", "/f/j.sh")


# --- seen on a real one, 2026-11 ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "job", "said"),
    [
        ("array-depend-unknown", "1117[].vm", {0: (TaskState.ENDED, Outcome.CANCELLED), 1: (TaskState.ENDED, Outcome.CANCELLED)}),
        ("array-exit127", "1112[].vm", {0: (TaskState.ENDED, Outcome.FAILED), 1: (TaskState.ENDED, Outcome.FAILED)}),
        ("array-mem-exceeded-by-runner", "1111[].vm", {0: (TaskState.ENDED, Outcome.OUT_OF_MEMORY)}),
        ("queued-array-with-deleted-subjobs", "28[].vm", {0: (TaskState.PENDING, None), 1: (TaskState.ENDED, Outcome.CANCELLED), 4: (TaskState.PENDING, None)}),
        ("odd-path-lang", "1055[].vm", {0: (TaskState.PENDING, None), 2: (TaskState.PENDING, None)}),
        ("requeued-after-mom-killed", "1007[].vm", {0: (TaskState.PENDING, None), 2: (TaskState.PENDING, None)}),
    ],
)  # fmt: skip
def test_what_a_real_server_said(name: str, job: str, said: dict[int, tuple[TaskState, Outcome | None]]) -> None:
    tasks = [TaskRef(job, index) for index in said]
    statuses, calls = poll(tasks, f"openpbs-real2-qstat-xtfjson-{name}.json")
    assert {task.index: (status.state, status.outcome) for task, status in statuses.items()} == said
    assert len(calls) == 1


def test_a_routing_queue_has_the_limits_of_where_it_leads() -> None:
    server, nodes = pbs_capture("openpbs-qstat-B-f-json.json"), pbs_capture("openpbs-pbsnodes-json.json")
    route = pbs_capture("openpbs-real2-qstat-Qf-json-routing-queue.json")
    destination = (
        '"short": {"queue_type": "Execution", "resources_max": {"walltime": "00:10:00"}, "enabled": "True"'
    )
    everything = route[0].replace('"route":', destination + '}, "route":')
    place = Place("eve", "route")
    limits, calls = replay(Pbs().limits(place), [reply(server), reply(route), Reply(0, everything), reply(nodes)])
    assert (limits.walltime_s, limits.memory_mib) == (600, 24105)
    assert [call.argv[-1] for call in calls[1:3]] == ["route", "json"]
    shut = everything.replace(destination, destination + ', "acl_user_enable": "True", "acl_users": "-eve@*,+bob"')
    with pytest.raises(SchedulerRefused, match="none of the queues that 'route' leads to takes the jobs of eve"):
        replay(Pbs().limits(place), [reply(server), reply(route), Reply(0, shut)])
    two = everything.replace('"route_destinations":\t"short"', '"route_destinations": "short,long@other"')
    limits, _ = replay(Pbs().limits(place), [reply(server), reply(route), Reply(0, two), reply(nodes)])
    assert limits.walltime_s is None  # another server does not tell
    assert {name: way.walltime_s for name, way in limits.one_of.items()} == {"short": 600, "long@other": None}


@pytest.mark.parametrize("lists", ["acl_users", "acl_groups"])
def test_a_queue_that_shuts_the_user_out_is_refused(lists: str) -> None:
    server = pbs_capture("openpbs-qstat-B-f-json.json")
    switch = lists.replace("users", "user_enable").replace("groups", "group_enable")
    queue = (
        f'{{"Queue": {{"closed": {{"queue_type": "Execution", "{switch}": "True", "{lists}": "bob,staff@*"}}}}}}'
    )
    nodes = Reply(0, "{}")
    bob = Place("bob", "closed", groups=("staff",))
    assert replay(Pbs().limits(bob), [reply(server), Reply(0, queue), nodes])[0]
    eve = Place("eve", "closed", groups=("users",))
    with pytest.raises(SchedulerRefused, match="does not take the jobs of eve"):
        replay(Pbs().limits(eve), [reply(server), Reply(0, queue)])


def test_of_many_jobs_all_are_asked_for_at_once() -> None:
    tasks = [TaskRef(f"{number}.vm") for number in range(1, 31)]
    living = "".join(f"Job Id: {number}.vm\n    Job_Name = a\n    job_state = Q\n" for number in range(1, 26))
    ended = "Job Id: 26.vm\n    Job_Name = a\n    job_state = F\n    Exit_status = 0\n"
    answer, calls = replay(Pbs().poll(tasks), [Reply(0, living), Reply(153, ended)])
    assert [call.argv[:5] for call in calls] == [("qstat", "-f"), ("qstat", "-x", "-t", "-f", "26.vm")]
    states = [answer.statuses[task].state for task in tasks]
    assert states == [TaskState.PENDING] * 25 + [TaskState.ENDED] + [TaskState.ABSENT] * 4
    # A history that is too long to be told in a minute is no answer, and nobody is absent for it.
    answer, _ = replay(Pbs().poll(tasks), [Reply(0, ""), Reply(None)])
    assert not answer.statuses
    assert "are not judged" in answer.notes[0]
    with pytest.raises(SchedulerSilent):
        replay(Pbs().poll(tasks), [Reply(255, "", "Connection refused")])
