#!/usr/bin/env bash
# A real Slurm of four virtual nodes on one machine, for the tests: from Debian's packages, without systemd.
#
#   slurm.sh install    the packages (needs root); does nothing where they are there
#   slurm.sh up         start it, wait until all nodes are idle; print the SLURM_CONF to export
#   slurm.sh up two     and a second cluster, `two`, in the same accounting: sbatch --clusters=two. It enforces limits:
#                       with --account=grp, five jobs of all users may be in the queue
#   slurm.sh down       stop both and remove their folder
#   slurm.sh banner DIR write DIR/sbatch, which says something before sbatch answers, as some sites' does
#
# All of it lives below $SWEEP_SLURM_LAB (else /tmp/sweep-slurm-UID); ports follow $SWEEP_SLURM_PORT0.
# With DBD=0 there is no accounting: sacct then fails as it does on clusters without it. Such a cluster may run
# beside the usual one, with another folder and other ports.
set -euo pipefail

LAB=${SWEEP_SLURM_LAB:-/tmp/sweep-slurm-$(id -u)}
PORT0=${SWEEP_SLURM_PORT0:-17800}
NODES=${SWEEP_SLURM_NODES:-4}
DBD=${DBD:-1}
ME=$(id -un)
HOST=$(hostname -s)
export SLURM_CONF=$LAB/etc/slurm.conf
PATH=$PATH:/usr/sbin:/sbin

install() {
    local program missing=""
    for program in slurmctld slurmd sbatch munged slurmdbd mariadbd; do
        command -v "$program" >/dev/null || missing+=" $program"
    done
    [ -n "$missing" ] || return 0
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q
    apt-get install -y -q --no-install-recommends slurmctld slurmd slurm-client munge slurmdbd mariadb-server
}

configure() {
    mkdir -p "$LAB"/{etc,run,log,state,spool,munge,mysql}
    chmod 0711 "$LAB" "$LAB/munge" "$LAB/run"
    [ -s "$LAB/munge/munge.key" ] || head -c 1024 /dev/urandom >"$LAB/munge/munge.key"
    chmod 0400 "$LAB/munge/munge.key"
    local storage="AccountingStorageType=accounting_storage/none"
    if [ "$DBD" = 1 ]; then
        storage="AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$((PORT0 + 2))
AccountingStoragePass=$LAB/munge/munge.socket"
    fi
    cat >"$LAB/etc/slurm.conf" <<EOF
ClusterName=lab
SlurmctldHost=$HOST(127.0.0.1)
SlurmUser=$ME
SlurmdUser=$ME
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$LAB/munge/munge.socket
SlurmctldPort=$PORT0
SlurmctldPidFile=$LAB/run/slurmctld.pid
SlurmctldLogFile=$LAB/log/slurmctld.log
SlurmdPidFile=$LAB/run/slurmd.%n.pid
SlurmdLogFile=$LAB/log/slurmd.%n.log
SlurmdSpoolDir=$LAB/spool/%n
StateSaveLocation=$LAB/state
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=60
KillWait=2
MinJobAge=300
MaxArraySize=1001
MaxJobCount=30000
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=1000
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
$storage
SchedulerParameters=batch_sched_delay=0,sched_interval=1,default_queue_depth=2000,bf_interval=1,bf_continue,sched_min_interval=0
NodeName=n[1-$NODES] NodeHostname=$HOST NodeAddr=127.0.0.1 Port=[$((PORT0 + 101))-$((PORT0 + 100 + NODES))] CPUs=4 RealMemory=16000
PartitionName=batch Nodes=ALL Default=YES MaxTime=1-00:00:00 DefaultTime=10:00 State=UP
PartitionName=short Nodes=ALL MaxTime=5:00 State=UP
EOF
    (
        umask 077
        cat >"$LAB/etc/slurmdbd.conf" <<EOF
AuthType=auth/munge
AuthInfo=socket=$LAB/munge/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=$((PORT0 + 2))
SlurmUser=$ME
LogFile=$LAB/log/slurmdbd.log
PidFile=$LAB/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$((PORT0 + 3))
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
EOF
    )
}

wait_for() { # seconds, what, command …
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        if [ "$SECONDS" -ge "$end" ]; then
            echo "slurm.sh: waited in vain for $what; see $LAB/log" >&2
            exit 1
        fi
        sleep 0.2
    done
}

at_work() { [ "$(sinfo -h -N -p batch -o '%t' | grep -cE '^(idle|mix|alloc|comp)')" = "$NODES" ]; }

all_idle() { [ "$(sinfo -h -N -p batch -o '%t' | grep -c '^idle$')" = "$NODES" ]; }

database() {
    mysql_defaults=(--no-defaults "--user=$ME" "--datadir=$LAB/mysql")
    [ -d "$LAB/mysql/mysql" ] || mariadb-install-db "${mysql_defaults[@]}" \
        --auth-root-authentication-method=socket --skip-test-db --innodb-log-file-size=32M >"$LAB/log/install-db.log" 2>&1
    setsid mariadbd "${mysql_defaults[@]}" "--socket=$LAB/run/mysql.sock" "--pid-file=$LAB/run/mariadb.pid" \
        --bind-address=127.0.0.1 --port=$((PORT0 + 3)) --innodb-buffer-pool-size=256M --innodb-lock-wait-timeout=900 \
        --innodb-log-file-size=32M --innodb-flush-log-at-trx-commit=0 --skip-log-bin >"$LAB/log/mariadb.log" 2>&1 </dev/null &
    local sql=(mariadb --no-defaults "--socket=$LAB/run/mysql.sock")
    wait_for 60 mariadb "${sql[@]}" -e 'SELECT 1'
    "${sql[@]}" -e "CREATE DATABASE IF NOT EXISTS slurm_acct_db;
        CREATE USER IF NOT EXISTS slurm@'127.0.0.1' IDENTIFIED BY 'slurm';
        CREATE USER IF NOT EXISTS slurm@'localhost' IDENTIFIED BY 'slurm';
        GRANT ALL ON slurm_acct_db.* TO slurm@'127.0.0.1'; GRANT ALL ON slurm_acct_db.* TO slurm@'localhost';"
    slurmdbd
    wait_for 60 slurmdbd sacctmgr -n show cluster
    sacctmgr -i add cluster lab >/dev/null 2>&1 || true
}

up() {
    # Without its configuration, a client would try for a minute.
    if [ -s "$SLURM_CONF" ] && scontrol ping 2>/dev/null | grep -q 'is UP' && at_work; then
        [ "${1:-}" != two ] || second
        echo "$SLURM_CONF"
        return
    fi
    configure
    munged --key-file="$LAB/munge/munge.key" --socket="$LAB/munge/munge.socket" --pid-file="$LAB/run/munged.pid" \
        --log-file="$LAB/log/munged.log" --seed-file="$LAB/munge/munge.seed" --num-threads=4 --force 2>"$LAB/log/munged.err"
    [ "$DBD" = 0 ] || database
    slurmctld
    for n in $(seq "$NODES"); do slurmd -N "n$n"; done
    wait_for 60 'idle nodes' all_idle
    [ "${1:-}" != two ] || second
    echo "$SLURM_CONF"
}

second() { # the first one's configuration, with another name, other nodes, folders and ports
    [ "$DBD" = 1 ] || { echo "slurm.sh: two clusters know each other by their accounting; leave DBD=0 out" >&2; exit 2; }
    mkdir -p "$LAB"/two/{etc,state,spool}
    sed -e 's/^ClusterName=.*/ClusterName=two/' -e "s/^SlurmctldPort=.*/SlurmctldPort=$((PORT0 + 40))/" \
        -e "s|$LAB/run/|$LAB/run/two-|" -e "s|$LAB/log/|$LAB/log/two-|" \
        -e "s|$LAB/state|$LAB/two/state|" -e "s|$LAB/spool|$LAB/two/spool|" \
        -e "s/^NodeName=.*/NodeName=m[1-2] NodeHostname=$HOST NodeAddr=127.0.0.1 Port=[$((PORT0 + 141))-$((PORT0 + 142))] CPUs=4 RealMemory=16000/" \
        "$LAB/etc/slurm.conf" >"$LAB/two/etc/slurm.conf"
    echo 'AccountingStorageEnforce=limits' >>"$LAB/two/etc/slurm.conf"
    two_idle && return
    sacctmgr -i add cluster two >/dev/null 2>&1 || true
    # Everybody of the account grp together may have five jobs in the queue; the other account has no limit.
    sacctmgr -i add account own cluster=two >/dev/null 2>&1 || true
    sacctmgr -i add account grp cluster=two GrpSubmitJobs=5 >/dev/null 2>&1 || true
    sacctmgr -i add user "$ME" cluster=two account=own,grp defaultaccount=own >/dev/null 2>&1 || true
    (
        export SLURM_CONF=$LAB/two/etc/slurm.conf
        slurmctld
        for n in 1 2; do slurmd -N "m$n"; done
    )
    wait_for 60 'idle nodes of the second cluster' two_idle
}

two_idle() { # as the first cluster's clients see it
    [ "$(timeout 10 sinfo -h -N --clusters=two -p batch -o '%t' 2>/dev/null | grep -c '^idle$')" = 2 ]
}

banner() { # folder
    local real
    real=$(command -v sbatch)
    mkdir -p "$1"
    cat >"$1/sbatch" <<EOF
#!/bin/sh
case "\$*" in *--version*) ;; *) printf '%s\n' "\${SBATCH_BANNER-Welcome to the cluster.
4711}" ;; esac
exec $real "\$@"
EOF
    chmod 755 "$1/sbatch"
}

alive() { # a stopped daemon may stay a zombie for a while
    [ -r "/proc/$1/stat" ] && ! grep -q ') Z ' "/proc/$1/stat"
}

down() {
    [ -d "$LAB" ] || return 0
    local pids pid end=$((SECONDS + 20))
    [ ! -d "$LAB/two" ] || timeout 10 scancel --clusters=two --user="$ME" 2>/dev/null || true
    if [ -s "$SLURM_CONF" ] && timeout 10 scancel --user="$ME" 2>/dev/null; then
        # The steps end by themselves while their daemons live, and would stay behind otherwise.
        while [ -n "$(timeout 10 squeue -h 2>/dev/null)" ] && [ "$SECONDS" -lt "$end" ]; do sleep 0.3; done
    fi
    end=$((SECONDS + 20))
    pids=$(cat "$LAB"/run/{,two-}slurmd.*.pid "$LAB"/run/{slurmctld,two-slurmctld,slurmdbd,mariadb,munged}.pid 2>/dev/null || true)
    for pid in $pids; do kill "$pid" 2>/dev/null || true; done
    for pid in $pids; do
        while alive "$pid" && [ "$SECONDS" -lt "$end" ]; do sleep 0.1; done
        ! alive "$pid" || kill -9 "$pid" 2>/dev/null || true
    done
    rm -rf "$LAB"
}

case ${1:-} in
    install | up | down) "$1" "${2:-}" ;;
    banner) banner "${2:?a folder}" ;;
    *)
        sed -n '2,13s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
esac
