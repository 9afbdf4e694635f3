//! Slurm on loopback: a controller and two nodes in a network of their own, which end with the test.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use imgforge::host::exec;
use rustix::process::{Pid, Signal, kill_process};

use crate::patience::wait_for;
use crate::pipeline::fake;
use crate::support::{IMGFORGE, Run as _, World, external, toy};

/// Nobody else's: the network is the cluster's own. Names are looked up only where there is such a one.
const OWN: &str = "192.0.2.1";

/// Where daemons listen, and how many jobs a node runs.
struct Layout {
    address: &'static str,
    controller: u16,
    nodes: Vec<u16>,
    processors: u32,
}

impl Layout {
    /// On this host's loopback.
    fn here(nodes: usize, processors: u32) -> Self {
        let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let ports: Vec<_> = (0..=nodes).map(|_| free()).collect();
        let mut ports = ports.iter().map(|port| port.local_addr().unwrap().port());
        Layout {
            address: "127.0.0.1",
            controller: ports.next().unwrap(),
            nodes: ports.collect(),
            processors,
        }
    }

    /// The nodes, with their ports.
    fn nodes(&self) -> impl Iterator<Item = (String, u16)> {
        (1..)
            .map(|n| format!("n{n}"))
            .zip(self.nodes.iter().copied())
    }
}

/// What the second node has.
pub(super) const FEATURE: &str = "gate";

const PROGRAMS: [&str; 5] = ["sbatch", "squeue", "scancel", "sinfo", "scontrol"];

/// A recipe repository, with a cluster for its jobs.
pub(super) struct Cluster {
    pub(super) world: World,
    controller: Child,
    nodes: RefCell<Vec<(String, Child)>>,
    path: String,
    /// How nsenter(1) comes into the cluster's network.
    net: Vec<String>,
}

/// Where scripts/deps.sh has unpacked Slurm.
fn unpacked() -> PathBuf {
    toy::target().join("slurm")
}

/// A daemon of Slurm's, which Debian names in two ways.
fn daemon(name: &str) -> PathBuf {
    let dir = unpacked().join("usr/sbin");
    let named = dir.join(format!("{name}-wlm"));
    match named.exists() {
        true => named,
        false => dir.join(name),
    }
}

fn libraries() -> String {
    let lib = unpacked().join(format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH));
    format!("{0}:{0}/slurm-wlm", lib.display())
}

impl Cluster {
    /// Starts one. Jobs find a `qemu-img` that runs `script` first, but for its version.
    pub(super) fn start(script: &str) -> Self {
        let world = World::importing();
        fake(&world, script);
        let dir = world.dir.path().display();
        world.configure(&format!("engine: {{slurm: {{program: {dir}/on-node}}}}\n"));
        // What a job finds on its node.
        let program = format!("PATH={dir}/bin:$PATH exec {IMGFORGE} \"$@\"");
        let own = Layout {
            address: OWN,
            controller: 6817,
            nodes: vec![6821, 6822],
            processors: 64,
        };
        Cluster::of(world, &program, &own)
    }

    /// Starts one whose jobs are in this host's network, where they reach its services and begin guests;
    /// `program` is what runs them.
    pub(super) fn on_this_host(world: World, program: &str) -> Self {
        Cluster::of(world, program, &Layout::here(2, 64))
    }

    /// As [`Cluster::on_this_host`], with so many nodes, each of which runs one job with one processor.
    pub(super) fn of_nodes(world: World, program: &str, nodes: usize) -> Self {
        Cluster::of(world, program, &Layout::here(nodes, 1))
    }

    fn of(world: World, program: &str, layout: &Layout) -> Self {
        world.write("slurm/slurm.conf", conf(&world.path("slurm"), layout));
        let (dir, bin) = (world.dir.path().display(), world.path("bin"));
        // Who began where.
        let program = format!("#!/bin/sh\necho \"$SLURMD_NODENAME $$\" >>{dir}/begun\n{program}\n");
        exec::write_program(&world.path("on-node"), &program).unwrap();
        let own = layout.address == OWN;
        let controller = daemon("slurmctld");
        let controller = match own {
            true => {
                let up = format!(
                    "busybox ip link set lo up && busybox ip addr add {}/32 dev lo && exec {} -D",
                    OWN,
                    controller.display()
                );
                let mut unshare = external("unshare");
                spawn(unshare.args(["--net", "sh", "-c", &up]), &world)
            }
            false => spawn(external(controller.to_str().unwrap()).arg("-D"), &world),
        };
        let net = match own {
            true => vec![format!("--net=/proc/{}/ns/net", controller.id())],
            false => vec![],
        };
        std::fs::create_dir_all(&bin).unwrap();
        for name in PROGRAMS {
            let at = unpacked().join("usr/bin").join(name);
            let text = format!(
                "#!/bin/sh\nexport LD_LIBRARY_PATH={} SLURM_CONF={dir}/slurm/slurm.conf\n\
                 exec nsenter {} {} \"$@\"\n",
                libraries(),
                net.concat(),
                at.display()
            );
            exec::write_program(&bin.join(name), &text).unwrap();
        }
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let cluster = Cluster {
            controller,
            nodes: RefCell::default(),
            path,
            net,
            world,
        };
        wait_for("Slurm's controller", || {
            cluster.try_said(&["sinfo"]).is_some()
        });
        for (node, _) in layout.nodes() {
            cluster.begin(&node);
        }
        wait_for("Slurm's nodes", || {
            let states = cluster.said(&["sinfo", "--noheader", "--Node", "--format=%T"]);
            // One line for each partition of a node.
            states.lines().filter(|state| *state == "idle").count() == 2 * layout.nodes.len()
        });
        cluster
    }

    /// Starts a node.
    fn begin(&self, node: &str) {
        let mut enter = external("nsenter");
        enter
            .args(&self.net)
            .arg(daemon("slurmd"))
            .args(["-D", "-N", node, "-d"]);
        let slurmd = spawn(enter.arg(daemon("slurmstepd")), &self.world);
        self.nodes.borrow_mut().push((node.to_owned(), slurmd));
    }

    /// A node that has failed comes back.
    pub(super) fn repair(&self, node: &str) {
        self.nodes.borrow_mut().retain(|(name, _)| name != node);
        self.begin(node);
        wait_for("the repaired node", || {
            let name = format!("nodename={node}");
            self.try_said(&["scontrol", "update", &name, "state=resume"]);
            let states = self.said(&["sinfo", "--noheader", "--nodes", node, "--format=%t"]);
            states.lines().any(|state| matches!(state, "idle" | "mix"))
        });
    }

    /// imgforge where Slurm's programs are.
    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.world.command(args);
        command.env("PATH", &self.path);
        command
    }

    fn try_said(&self, words: &[&str]) -> Option<String> {
        let mut command = external(self.world.path("bin").join(words[0]).to_str().unwrap());
        let said = command.args(&words[1..]).said();
        (said.code == Some(0)).then_some(said.out)
    }

    /// What one of Slurm's programs prints.
    #[track_caller]
    pub(super) fn said(&self, words: &[&str]) -> String {
        self.try_said(words).unwrap_or_else(|| panic!("{words:?}"))
    }

    /// Node and process of each imgforge that a job has begun.
    pub(super) fn begun(&self) -> Vec<(String, Pid)> {
        let text = std::fs::read_to_string(self.world.path("begun")).unwrap_or_default();
        let line = |line: &str| {
            let (node, pid) = line.split_once(' ')?;
            Some((node.to_owned(), Pid::from_raw(pid.parse().ok()?)?))
        };
        text.lines().filter_map(line).collect()
    }

    /// The power of a node fails, whose job's imgforge this is.
    pub(super) fn fail(&self, node: &str, imgforge: Pid) {
        let script = parent(imgforge);
        let step = parent(script);
        let mut nodes = self.nodes.borrow_mut();
        let (_, slurmd) = nodes.iter_mut().find(|(name, _)| name == node).unwrap();
        end(slurmd);
        for pid in [step, script, imgforge] {
            kill_process(pid, Signal::KILL).unwrap();
        }
        let node = format!("nodename={node}");
        self.said(&["scontrol", "update", &node, "state=down", "reason=power"]);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.try_said(&["scancel", "--full", "--signal=KILL", "--user=root"]);
        wait_for("the end of all jobs", || {
            self.try_said(&["squeue", "--noheader"])
                .is_none_or(|jobs| jobs.is_empty())
        });
        self.nodes
            .get_mut()
            .iter_mut()
            .for_each(|(_, slurmd)| end(slurmd));
        end(&mut self.controller);
    }
}

fn end(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn spawn(command: &mut Command, world: &World) -> Child {
    command.env("LD_LIBRARY_PATH", libraries());
    command.env("SLURM_CONF", world.path("slurm/slurm.conf"));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

fn parent(pid: Pid) -> Pid {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap();
    let (_, rest) = stat.rsplit_once(')').unwrap();
    Pid::from_raw(rest.split_whitespace().nth(1).unwrap().parse().unwrap()).unwrap()
}

/// Without munge, cgroups and systemd; a job whose node has failed begins again after a moment.
fn conf(dir: &Path, layout: &Layout) -> String {
    let Layout {
        address,
        controller,
        processors,
        ..
    } = layout;
    let node = |(name, port): (String, u16)| {
        let feature = if name == "n2" { FEATURE } else { "plain" };
        format!(
            "NodeName={name} NodeHostname=localhost NodeAddr={address} Port={port} CPUs={processors} \
             RealMemory=200000 Feature={feature}\n"
        )
    };
    let nodes: String = layout.nodes().map(node).collect();
    let names: Vec<String> = layout.nodes().map(|(name, _)| name).collect();
    let names = names.join(",");
    let lib = libraries();
    let plugins = lib.rsplit_once(':').unwrap().1;
    let dir = dir.display();
    std::fs::create_dir_all(format!("{dir}/state")).unwrap();
    format!(
        "ClusterName=test\nSlurmctldHost=localhost({address})\nSlurmctldPort={controller}\nAuthType=auth/none\nCredType=cred/none\n\
         AuthInfo=cred_expire=5\nSlurmUser=root\nSlurmdUser=root\nStateSaveLocation={dir}/state\n\
         SlurmdSpoolDir={dir}/%n\nSlurmctldPidFile={dir}/controller.pid\nSlurmdPidFile={dir}/%n.pid\n\
         SlurmctldLogFile={dir}/controller.log\nSlurmdLogFile={dir}/%n.log\nPluginDir={plugins}\n\
         ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nSwitchType=switch/none\nMpiDefault=none\n\
         SelectType=select/cons_tres\nSelectTypeParameters=CR_Core_Memory\n\
         SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,bf_interval=1\n\
         GetEnvTimeout=120\nKillWait=30\nReturnToService=2\nSlurmdParameters=config_overrides\n\
         {nodes}\
         PartitionName=main Nodes={names} Default=YES MaxTime=INFINITE State=UP\n\
         PartitionName=short Nodes={names} MaxTime=10 State=UP\n"
    )
}
