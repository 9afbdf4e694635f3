#!/bin/bash
# simple_slurm takes task 3 of Slurm's job array 1 for job 13, and drops tasks that have the number of another job so
#
# Seen with: simple-slurm 0.3.6 (the newest release), slurmctld and slurm-client 22.05.8-4+deb12u3 (Debian 12).
# Behaviour: squeue's %i is "<base_job_id>_<index>" for a task of an array (squeue(1)), as each one that runs is listed,
#   and with -r or SQUEUE_ARRAY each one that waits. simple_slurm makes a number of it by Python's int(), for which
#   an underscore between digits means nothing. Its table of jobs, by number, has jobs that do not exist, and of two
#   that become the same number the last one only: who waits for job 11 sees how 1_1 fares, or the other way round.
#   Nothing is raised.
# Output seen: "squeue: 14 jobs", "simple_slurm: 12 jobs; 11 is 11, 12 is 12, 13 is 1_3".
set -euo pipefail
cd "$(mktemp -d)"
version=22.05.8-4+deb12u3
apt-get -qq download slurmctld=$version slurm-client=$version slurm-wlm-basic-plugins=$version libhwloc15=2.9.0-1
for package in *.deb; do dpkg -x "$package" tools; done
plugins=$PWD/tools/usr/lib/x86_64-linux-gnu/slurm-wlm
export LD_LIBRARY_PATH=$plugins/..:$plugins SLURM_CONF=$PWD/slurm.conf SQUEUE_ARRAY=1
PATH=$PWD/tools/usr/bin:$PATH
python3 -m venv python
python/bin/pip -q --disable-pip-version-check install simple-slurm==0.3.6
# A controller on loopback, whose one node never comes: all jobs wait.
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
mkdir state
cat >slurm.conf <<CONF
ClusterName=example
SlurmctldHost=localhost
SlurmctldPort=$port
CommunicationParameters=NoCtldInAddrAny
AuthType=auth/none
CredType=cred/none
SlurmUser=$(id -un)
StateSaveLocation=$PWD/state
SlurmctldPidFile=$PWD/pid
PluginDir=$plugins
ProctrackType=proctrack/linuxproc
SwitchType=switch/none
MpiDefault=none
NodeName=n1 NodeAddr=127.0.0.1 CPUs=4
PartitionName=main Nodes=n1 Default=YES
CONF
timeout 120 tools/usr/sbin/slurmctld-wlm -D >controller 2>&1 &
controller=$!
trap 'kill $controller; wait $controller || true' EXIT
for _ in $(seq 100); do
  if timeout 10 sinfo >said 2>&1; then break; fi
  sleep 0.2
done
printf '#!/bin/sh\n' >job
timeout 20 sbatch --parsable --array=1-3 job | grep -x 1
for id in $(seq 2 12); do timeout 20 sbatch --parsable job | grep -qx "$id"; done
timeout 20 squeue --me -h -o %i >ids
grep -x 1_3 ids
echo "squeue: $(wc -l <ids) jobs"
[ "$(sort -u ids | wc -l)" = 14 ]
timeout 60 python/bin/python - <<'PY' | tee said
from simple_slurm import Slurm

squeue = Slurm().squeue
squeue.update_squeue()
names = (f"{number} is {squeue.jobs[number]['JOBID']}" for number in (11, 12, 13))
print(f"simple_slurm: {len(squeue.jobs)} jobs; {', '.join(names)}")
PY
grep -qx 'simple_slurm: 12 jobs; 11 is 11, 12 is 12, 13 is 1_3' said || { echo "that has changed"; exit 1; }
