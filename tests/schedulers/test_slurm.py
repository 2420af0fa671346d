"""Slurm, on the captured output of Slurm 22.05."""

from __future__ import annotations

import pytest

from sweep.errors import SchedulerBusy, SchedulerError, SchedulerRefused, SchedulerSilent
from sweep.model import Limits, Outcome, SchedulerStatus, TaskRef, TaskState
from sweep.schedulers import Place, Reply, SoughtJob, SubmitRequest
from sweep.schedulers.base import CallFailure
from sweep.schedulers.slurm import Slurm
from sweep.schedulers.slurmoutput import STATES, merge_statuses, read_sacct, read_squeue
from tests.conftest import capture
from tests.schedulers.replay import replay, reply

UP = Reply(0, "Slurmctld(primary) at vm is UP\n")
REQUEST = SubmitRequest("/f/j0001.sh", "toy.j0001.ab12", None, "/f/50%/j0001.log")


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
    statuses = read_squeue(squeue_lines())
    assert statuses[TaskRef("9", 6)].state is TaskState.PENDING
    assert statuses[TaskRef("9", 6)].reason == "JobArrayTaskLimit"
    assert statuses[TaskRef("9", 3)].state is TaskState.RUNNING
    assert statuses[TaskRef("9", 3)].elapsed_s == 37
    assert statuses[TaskRef("3")].outcome is Outcome.FAILED
    assert statuses[TaskRef("6")].outcome is Outcome.CANCELLED
    assert statuses[TaskRef("4")].outcome is Outcome.LAUNCH  # the reason says so: JobLaunchFailure
    assert statuses[TaskRef("11")].job_name == "longrunner"
    assert len(statuses) == 27


def test_sacct_gives_exit_codes_cpu_and_the_steps_peak_memory() -> None:
    statuses = read_sacct(sacct_lines())
    done = statuses[TaskRef("2")]
    assert (done.outcome, done.exit_code, done.cpu_s, done.elapsed_s) == (Outcome.COMPLETED, 0, 1.678, 6)
    assert done.peak_memory_mib == pytest.approx(94716 / 1024)
    assert (statuses[TaskRef("3")].outcome, statuses[TaskRef("3")].exit_code) == (Outcome.FAILED, 3)
    assert statuses[TaskRef("3")].peak_memory_mib is None  # the job was too short to be sampled: None, not 0
    assert (statuses[TaskRef("4")].outcome, statuses[TaskRef("4")].signal) == (Outcome.FAILED, 9)
    assert statuses[TaskRef("1")].outcome is Outcome.TIMEOUT
    assert statuses[TaskRef("5")].outcome is Outcome.CANCELLED
    assert statuses[TaskRef("5")].reason == "cancelled by user 0"
    assert statuses[TaskRef("5")].cancelled_by == "user 0"
    assert {status.cancelled_by for status in statuses.values() if status.outcome is not Outcome.CANCELLED} == {""}
    assert statuses[TaskRef("9", 1)].exit_code == 7
    running = statuses[TaskRef("9", 3)]
    assert (running.state, running.exit_code, running.cpu_s) == (TaskState.RUNNING, None, None)


def test_an_array_cancelled_while_it_waited_is_one_row() -> None:
    """Real sacct printed ``4_[0-2]|CANCELLED by 0``. squeue forgets the job after MinJobAge."""
    statuses = read_sacct(
        "4_[0-2,7%3]|CANCELLED by 0|0:0|0|00:00:00||toy\n9_[6-9%3]|PENDING|0:0|0|00:00:00||arr\n"
    )
    assert {ref.index for ref in statuses if ref.job_id == "4"} == {0, 1, 2, 7}
    assert statuses[TaskRef("4", 7)].outcome is Outcome.CANCELLED
    assert statuses[TaskRef("4", 7)].cancelled_by == "user 0"
    assert statuses[TaskRef("9", 9)].state is TaskState.PENDING


def test_squeue_knows_queued_tasks_and_sacct_ended_ones() -> None:
    statuses = merge_statuses(read_squeue(squeue_lines()), read_sacct(sacct_lines()))
    assert statuses[TaskRef("3")].exit_code == 3  # sacct's: squeue does not say
    assert statuses[TaskRef("5")].cancelled_by == "user 0"  # so is this
    assert statuses[TaskRef("9", 6)].state is TaskState.PENDING  # squeue's: sacct has one row for [6-9]


def test_poll_is_three_calls_and_names_absent_tasks() -> None:
    tasks = [TaskRef("9", 0), TaskRef("9", 6), TaskRef("2"), TaskRef("99999")]
    replies = [UP, Reply(0, squeue_lines()), Reply(0, sacct_lines())]
    answer, calls = replay(Slurm().poll(tasks), replies)
    assert [call.argv[0] for call in calls] == ["scontrol", "squeue", "sacct"]
    assert [answer.statuses[task].state.value for task in tasks] == ["ended", "pending", "ended", "absent"]


def test_sacct_is_not_asked_while_all_tasks_are_in_the_queue() -> None:
    tasks = [TaskRef("9", 6), TaskRef("9", 7)]
    answer, calls = replay(Slurm().poll(tasks), [UP, Reply(0, squeue_lines())])
    assert [call.argv[0] for call in calls] == ["scontrol", "squeue"]
    assert {status.state for status in answer.statuses.values()} == {TaskState.PENDING}


def test_an_error_about_unknown_ids_is_an_answer() -> None:
    answer, _ = replay(Slurm().poll([TaskRef("99999")]), [UP, reply(capture("mixed/squeue_missing")), Reply(0)])
    assert answer.statuses[TaskRef("99999")].state is TaskState.ABSENT


def test_tasks_are_absent_without_accounting_and_not_judged_while_it_is_down() -> None:
    squeue = Reply(0, "2|RUNNING|None|0:06|okjob\n")
    tasks = [TaskRef("2"), TaskRef("3")]
    answer, _ = replay(Slurm().poll(tasks), [UP, squeue, reply(capture("errors/sacct_no_dbd_j"))])
    assert answer.statuses[TaskRef("3")].state is TaskState.ABSENT
    answer, _ = replay(Slurm().poll(tasks), [UP, squeue, reply(capture("errors/dbd_down_sacct"))])
    assert set(answer.statuses) == {TaskRef("2")}  # nothing can say how job 3 ended
    assert "sacct did not answer" in answer.notes[0]


@pytest.mark.parametrize(
    "replies",
    [
        [reply(capture("errors/down_scontrol_ping"))],
        [UP, reply(capture("errors/down_squeue_-j_1"))],
        [Reply(None, failure=CallFailure.TIMED_OUT)],
        [UP, reply(capture("errors/no_conf"))],
    ],
)
def test_a_controller_that_is_down_is_silent(replies: list[Reply]) -> None:
    with pytest.raises(SchedulerSilent, match="did not answer"):
        replay(Slurm().poll([TaskRef("1")]), replies)


def test_submit_names_and_places_on_the_command_line() -> None:
    job_id, [call] = replay(Slurm().submit(REQUEST), [reply(capture("errors/sbatch_parsable"))])
    assert job_id == "36"
    assert call.argv == (
        "sbatch", "--parsable", "--job-name=toy.j0001.ab12", "--output=/f/50%%/j0001.log", "--open-mode=append",
        "/f/j0001.sh",
    )  # fmt: skip
    one_task = SubmitRequest("/f/j0001.sh", "toy.j0001.ab12", 7, "/f/j0001.log")
    job_id, [call] = replay(Slurm().submit(one_task), [Reply(0, "37;cluster\n")])
    assert job_id == "37;cluster"
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
        replay(Slurm().submit(REQUEST), [reply(capture(f"errors/{name}"))])
    assert type(caught.value) is error


@pytest.mark.parametrize(
    "answer", [Reply(0, ""), Reply(0, "garbage\n"), Reply(None, failure=CallFailure.TIMED_OUT)]
)
def test_a_reply_without_an_id_is_no_answer(answer: Reply) -> None:
    with pytest.raises(SchedulerSilent):
        replay(Slurm().submit(REQUEST), [answer])


def test_cancel_is_two_calls_pending_tasks_first_and_safe_to_repeat() -> None:
    missing = reply(capture("errors/scancel_missing"))
    _, [first, then] = replay(Slurm().cancel(["12", "13"], [TaskRef("9", 3)]), [missing, missing])
    # Never with a task: scancel --state=PENDING 9_3 takes the whole of a waiting array (seen on 22.05).
    assert first.argv == ("scancel", "--state=PENDING", "12", "13")
    assert then.argv == ("scancel", "9_3", "12", "13")
    _, [only] = replay(Slurm().cancel([], [TaskRef("9", 3)]), [missing])
    assert only.argv == ("scancel", "9_3")
    with pytest.raises(SchedulerSilent):
        replay(Slurm().cancel(["1"], []), [reply(capture("errors/down_scancel_1"))])


def test_an_unknown_state_names_the_file_to_edit() -> None:
    with pytest.raises(SchedulerError) as caught:
        read_squeue("5|HIBERNATING|None|0:04|x")
    assert "HIBERNATING" in str(caught.value)
    assert "slurmoutput.py" in caught.value.hint


def test_every_captured_state_is_known() -> None:
    states = {row.split("|")[1].split()[0] for row in sacct_lines().splitlines()}
    states |= {row.split("|")[1] for row in squeue_lines().splitlines()}
    assert states <= set(STATES)
    assert {"REQUEUED", "OUT_OF_MEMORY", "PREEMPTED"} <= set(STATES)


def limits(place: Place, **instead: Reply) -> Limits:
    names = (
        "scontrol_config",
        "scontrol_partition",
        "sinfo_nodes",
        "sacctmgr_assoc",
        "sacctmgr_groups",
        "sacctmgr_qos",
    )
    replies = [instead.get(name, reply(capture(f"limits/{name}"))) for name in names]
    return replay(Slurm().limits(place), [UP, *replies])[0]


def test_limits_are_the_smallest_of_partition_association_and_qos() -> None:
    """MaxArraySize is 1001. batch allows a day, short five minutes. eve may queue 500 tasks, and 400 by QOS."""
    reported = limits(Place("eve", account="unet"))
    assert reported == Limits(
        1001,
        max_queued=400,
        group_queued=1000,
        max_running=20,
        walltime_s=12 * 3600,
        memory_mib=16000,
        cpus=4,
        gpus=0,
    )
    assert limits(Place("eve", queue="short")).walltime_s == 300
    assert limits(Place("eve", queue="short,batch")).walltime_s == 12 * 3600
    assert limits(Place("eve", account="another")).max_running is None


def test_a_groups_limit_holds_for_each_of_its_users() -> None:
    """Of the account, of those above it, and of the QOS: all users together."""
    associations = reply(("team|||500||normal|\n", "", 0))
    groups = reply(("root||\nlab|root|50\nteam|lab|\nother|root|1\n", "", 0))
    reported = limits(Place("eve"), sacctmgr_assoc=associations, sacctmgr_groups=groups)
    assert (reported.group_queued, reported.max_queued) == (50, 50)
    of_qos = reply(("normal||||40|30\n", "", 0))
    reported = limits(Place("eve"), sacctmgr_assoc=associations, sacctmgr_groups=groups, sacctmgr_qos=of_qos)
    assert (reported.group_queued, reported.max_queued) == (30, 30)


@pytest.mark.parametrize(("value", "most"), [("0", 1), ("1", 1), ("5", 5), ("(null)", 1001)])
def test_arrays_that_are_switched_off(value: str, most: int) -> None:
    config = reply((f"MaxArraySize            = {value}\n", "", 0))
    assert limits(Place("eve"), scontrol_config=config).max_array_size == most


def test_limits_without_accounting_are_those_of_the_controller() -> None:
    disabled = Reply(1, "", "You are not running a supported accounting_storage plugin\n")
    reported = limits(
        Place("eve"), sacctmgr_assoc=disabled, sacctmgr_groups=disabled,
        sacctmgr_qos=Reply(None, failure=CallFailure.NOT_FOUND),
    )  # fmt: skip
    assert (reported.max_queued, reported.walltime_s) == (30000, 86400)
    nothing = dict.fromkeys(("scontrol_config", "scontrol_partition", "sinfo_nodes"), Reply(0, ""))
    assert limits(
        Place("eve"), sacctmgr_assoc=disabled, sacctmgr_groups=disabled, sacctmgr_qos=disabled, **nothing
    ) == Limits(1001)


def test_a_controller_that_is_down_tells_no_limits() -> None:
    with pytest.raises(SchedulerSilent):
        replay(Slurm().limits(Place("eve")), [reply(capture("errors/down_scontrol_ping"))])


@pytest.mark.parametrize(
    ("name", "directive"),
    [
        ("invalid_partition", "--partition"),
        ("bad_account_enforced", "--account"),
        ("bad_qos_enforced", "--qos"),
        ("bad_constraint", "--constraint"),
        ("bad_gres", "--gres"),
        ("bad_directive", "--bogus"),
        ("array_over_max", "--array"),
        ("mem_too_large", "--mem"),
        ("time_over_partition_enforced", "--time"),
        ("cpus_too_many_enforced", "--cpus-per-task"),
    ],
)
def test_a_refusal_names_the_directive_it_is_about(name: str, directive: str) -> None:
    with pytest.raises(SchedulerRefused) as caught:
        replay(Slurm().submit(REQUEST), [reply(capture(f"errors/{name}"))])
    assert caught.value.directive == directive


def test_a_part_of_an_array_that_waits_for_another_job() -> None:
    part = SubmitRequest("/f/j.sh", "n", None, "/f/j.log", span=(5, 9), throttle=2, after="36")
    _, [call] = replay(Slurm().submit(part), [Reply(0, "37\n")])
    assert {"--array=5-9%2", "--dependency=afterany:36"} <= set(call.argv)


def test_usage_asks_by_the_raw_ids_that_sstat_knows() -> None:
    out = capture("mixed/sstat_raw_array_elem")[0].splitlines()[1]
    usage, [_, call] = replay(
        Slurm().usage([TaskRef("9", 3), TaskRef("11")]), [Reply(0, "9_3|22\n9_4|23\n11|11\n"), Reply(0, out)]
    )
    assert call.argv[:6] == ("sstat", "-n", "-P", "--noconvert", "-j", "22.batch,11.batch")
    assert usage == {TaskRef("9", 3): SchedulerStatus(TaskState.RUNNING, cpu_s=0.0, peak_memory_mib=4776 / 1024)}
    assert replay(Slurm().usage([]), []) == ({}, [])


def test_find_by_name() -> None:
    squeue, sacct = Reply(0, "9|toy.j1.aa\n9|toy.j1.aa\n"), Reply(0, "7_1|toy.j2.bb\n7_[2-9]|toy.j2.bb\n")
    ids, _ = replay(
        Slurm().find([SoughtJob(name) for name in ("toy.j1.aa", "toy.j2.bb", "toy.j3.cc")]), [UP, squeue, sacct]
    )
    assert ids == {"toy.j1.aa": "9", "toy.j2.bb": "7"}
    with pytest.raises(SchedulerSilent):
        replay(Slurm().find([SoughtJob("x")]), [UP, squeue, reply(capture("errors/dbd_down_sacct"))])
