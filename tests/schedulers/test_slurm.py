"""Slurm, on the real output of a real one (22.05)."""

from __future__ import annotations

import pytest

from sweep.errors import SchedulerBusy, SchedulerError, SchedulerRefused, SchedulerSilent
from sweep.model import JobState, Outcome, TaskRef
from sweep.schedulers import Reply, Request
from sweep.schedulers.slurm import STATES, Slurm, merged, read_sacct, read_squeue
from tests.conftest import capture
from tests.schedulers.talk import hold, reply

UP = Reply(0, "Slurmctld(primary) at vm is UP\n")
REQUEST = Request("/f/j0001.sh", "toy.j0001.ab12", None, "/f/50%/j0001.log")


def squeue_lines() -> str:
    """Cut the captured columns %i|%A|%F|%K|%T|%r|%M|%l|%N|%j|… to ours, %i|%T|%r|%M|%j."""
    rows = [line.split("|") for line in capture("mixed/squeue_pipe")[0].splitlines()]
    return "\n".join("|".join([row[0], row[4], row[5], row[6], row[9]]) for row in rows)


def sacct_lines() -> str:
    """Cut the captured columns to ours."""
    head, *rows = (line.split("|") for line in capture("mixed/sacct_P")[0].splitlines())
    ours = ["JobID", "State", "ExitCode", "ElapsedRaw", "TotalCPU", "MaxRSS", "JobName"]
    return "\n".join("|".join(row[head.index(name)] for name in ours) for row in rows)


def test_squeue_names_each_task() -> None:
    words = read_squeue(squeue_lines())
    assert words[TaskRef("9", 6)].state is JobState.PENDING
    assert words[TaskRef("9", 6)].reason == "JobArrayTaskLimit"
    assert words[TaskRef("9", 3)].state is JobState.RUNNING
    assert words[TaskRef("9", 3)].elapsed_s == 37
    assert words[TaskRef("3")].outcome is Outcome.FAILED
    assert words[TaskRef("6")].outcome is Outcome.CANCELLED
    assert words[TaskRef("4")].outcome is Outcome.LAUNCH  # the reason says so: JobLaunchFailure
    assert words[TaskRef("11")].job_name == "longrunner"
    assert len(words) == 27


def test_sacct_gives_exit_codes_cpu_and_the_steps_peak_memory() -> None:
    words = read_sacct(sacct_lines())
    done = words[TaskRef("2")]
    assert (done.outcome, done.exit_code, done.cpu_s, done.elapsed_s) == (Outcome.COMPLETED, 0, 1.678, 6)
    assert done.peak_memory_mib == pytest.approx(94716 / 1024)
    assert (words[TaskRef("3")].outcome, words[TaskRef("3")].exit_code) == (Outcome.FAILED, 3)
    assert words[TaskRef("3")].peak_memory_mib is None  # too short to be sampled: not known, not 0
    assert (words[TaskRef("4")].outcome, words[TaskRef("4")].signal) == (Outcome.FAILED, 9)
    assert words[TaskRef("1")].outcome is Outcome.TIMEOUT
    assert words[TaskRef("5")].outcome is Outcome.CANCELLED
    assert words[TaskRef("5")].reason == "cancelled by user 0"
    assert words[TaskRef("9", 1)].exit_code == 7
    running = words[TaskRef("9", 3)]
    assert (running.state, running.exit_code, running.cpu_s) == (JobState.RUNNING, None, None)


def test_an_array_cancelled_while_it_waited_is_one_row() -> None:
    """Seen on a real one: ``4_[0-2]|CANCELLED by 0``; squeue forgets it after MinJobAge."""
    words = read_sacct("4_[0-2,7%3]|CANCELLED by 0|0:0|0|00:00:00||toy\n9_[6-9%3]|PENDING|0:0|0|00:00:00||arr\n")
    assert {ref.index for ref in words if ref.job_id == "4"} == {0, 1, 2, 7}
    assert words[TaskRef("4", 7)].outcome is Outcome.CANCELLED
    assert words[TaskRef("9", 9)].state is JobState.PENDING


def test_the_living_are_squeues_the_ended_sacct() -> None:
    words = merged(read_squeue(squeue_lines()), read_sacct(sacct_lines()))
    assert words[TaskRef("3")].exit_code == 3  # sacct's: squeue does not say
    assert words[TaskRef("9", 6)].state is JobState.PENDING  # squeue's: sacct has one row for [6-9]


def test_poll_is_three_calls_and_names_who_is_absent() -> None:
    tasks = [TaskRef("9", 0), TaskRef("9", 6), TaskRef("2"), TaskRef("99999")]
    replies = [UP, Reply(0, squeue_lines()), Reply(0, sacct_lines())]
    poll, calls = hold(Slurm().poll(tasks), replies)
    assert [call.argv[0] for call in calls] == ["scontrol", "squeue", "sacct"]
    assert [poll.words[task].state.value for task in tasks] == ["ended", "pending", "ended", "absent"]


def test_all_ids_unknown_is_an_answer() -> None:
    poll, _ = hold(Slurm().poll([TaskRef("99999")]), [UP, reply(capture("mixed/squeue_missing")), Reply(0)])
    assert poll.words[TaskRef("99999")].state is JobState.ABSENT


def test_no_accounting_is_no_silence_but_a_dead_one_is() -> None:
    squeue = Reply(0, "2|RUNNING|None|0:06|okjob\n")
    tasks = [TaskRef("2"), TaskRef("3")]
    poll, _ = hold(Slurm().poll(tasks), [UP, squeue, reply(capture("errors/sacct_no_dbd_j"))])
    assert poll.words[TaskRef("3")].state is JobState.ABSENT
    poll, _ = hold(Slurm().poll(tasks), [UP, squeue, reply(capture("errors/dbd_down_sacct"))])
    assert set(poll.words) == {TaskRef("2")}  # of job 3, nobody could say
    assert "sacct did not answer" in poll.notes[0]


@pytest.mark.parametrize(
    "replies",
    [
        [reply(capture("errors/down_scontrol_ping"))],
        [UP, reply(capture("errors/down_squeue_-j_1"))],
        [Reply(None, failure="timed out")],
        [UP, reply(capture("errors/no_conf"))],
    ],
)
def test_a_controller_that_is_down_is_silent(replies: list[Reply]) -> None:
    with pytest.raises(SchedulerSilent, match="did not answer"):
        hold(Slurm().poll([TaskRef("1")]), replies)


def test_submit_names_and_places_on_the_command_line() -> None:
    job_id, [call] = hold(Slurm().submit(REQUEST), [reply(capture("errors/sbatch_parsable"))])
    assert job_id == "36"
    assert call.argv == (
        "sbatch", "--parsable", "--job-name=toy.j0001.ab12", "--output=/f/50%%/j0001.log", "--open-mode=append",
        "/f/j0001.sh",
    )  # fmt: skip
    one = Request("/f/j0001.sh", "toy.j0001.ab12", 7, "/f/j0001.log")
    job_id, [call] = hold(Slurm().submit(one), [Reply(0, "37;cluster\n")])
    assert job_id == "37"
    assert "--export=ALL,SWEEP_TASK=7" in call.argv


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("array_over_max", SchedulerRefused),
        ("bad_account_enforced", SchedulerRefused),
        ("bad_constraint", SchedulerRefused),
        ("bad_directive", SchedulerRefused),
        ("bad_qos_enforced", SchedulerRefused),
        ("bad_time", SchedulerRefused),
        ("cpus_too_many_enforced", SchedulerRefused),
        ("crlf", SchedulerRefused),
        ("invalid_partition", SchedulerRefused),
        ("mem_too_large", SchedulerRefused),
        ("no_file", SchedulerRefused),
        ("time_over_partition_enforced", SchedulerRefused),
        ("submit_limit", SchedulerBusy),
        ("submit_limit_array", SchedulerBusy),
        ("down_sbatch_t.sh", SchedulerSilent),
        ("no_conf_sbatch", SchedulerSilent),
    ],
)
def test_what_sbatch_refuses(name: str, error: type[SchedulerError]) -> None:
    with pytest.raises(error) as caught:
        hold(Slurm().submit(REQUEST), [reply(capture(f"errors/{name}"))])
    assert type(caught.value) is error


@pytest.mark.parametrize("answer", [Reply(0, ""), Reply(0, "garbage\n"), Reply(None, failure="timed out")])
def test_an_answer_without_an_id_is_a_doubt(answer: Reply) -> None:
    with pytest.raises(SchedulerSilent):
        hold(Slurm().submit(REQUEST), [answer])


def test_cancel_is_one_call_and_safe_to_repeat() -> None:
    _, [call] = hold(Slurm().cancel(["12", "13"], [TaskRef("9", 3)]), [reply(capture("errors/scancel_missing"))])
    assert call.argv == ("scancel", "12", "13", "9_3")
    with pytest.raises(SchedulerSilent):
        hold(Slurm().cancel(["1"], []), [reply(capture("errors/down_scancel_1"))])


def test_an_unknown_state_names_the_file_to_edit() -> None:
    with pytest.raises(SchedulerError) as caught:
        read_squeue("5|HIBERNATING|None|0:04|x")
    assert "HIBERNATING" in str(caught.value)
    assert "slurm.py" in caught.value.hint


def test_every_captured_state_is_known() -> None:
    states = {row.split("|")[1].split()[0] for row in sacct_lines().splitlines()}
    states |= {row.split("|")[1] for row in squeue_lines().splitlines()}
    assert states <= set(STATES)
    assert {"REQUEUED", "OUT_OF_MEMORY", "PREEMPTED"} <= set(STATES)


def test_max_array_size() -> None:
    size, _ = hold(
        Slurm().max_array_size(), [Reply(0, "MailProg = x\nMaxArraySize            = 10001\nMaxDBDMsgs = 1\n")]
    )
    assert size == 10001
    assert hold(Slurm().max_array_size(), [Reply(None, failure="not found")])[0] == 1001


def test_find_by_name() -> None:
    squeue, sacct = Reply(0, "9|toy.j1.aa\n9|toy.j1.aa\n"), Reply(0, "7_1|toy.j2.bb\n7_[2-9]|toy.j2.bb\n")
    found, _ = hold(Slurm().find(["toy.j1.aa", "toy.j2.bb", "toy.j3.cc"]), [UP, squeue, sacct])
    assert found == {"toy.j1.aa": "9", "toy.j2.bb": "7"}
    with pytest.raises(SchedulerSilent):
        hold(Slurm().find(["x"]), [UP, squeue, reply(capture("errors/dbd_down_sacct"))])
