//! Several images: what builds on what comes first, and as many at once as memory allows.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex};

use crate::error::{Error, Kind, Result};
use crate::host::interrupt;
use crate::ui::Ui;
use crate::units::Size;

/// An image of the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// What has to be done before, as far as it is in the graph.
    pub parents: Vec<String>,
    /// What its guests need at most at one time.
    pub memory: Size,
}

/// What may run at once.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Memory of all guests together; one image runs however little there is.
    pub memory: Size,
    /// Number of images.
    pub images: usize,
}

/// How the work on one image ended.
#[derive(Debug)]
pub enum Outcome {
    /// It went well.
    Done,
    /// It failed.
    Failed(Error),
    /// This image, on which it builds, failed.
    Skipped(String),
}

impl From<Result<()>> for Outcome {
    fn from(result: Result<()>) -> Self {
        result.map_or_else(Outcome::Failed, |()| Outcome::Done)
    }
}

/// Runs `work` for every node after its parents. A failure skips only what builds on it; an
/// interrupt begins nothing more. Results are in the order of `nodes`.
///
/// # Errors
/// The interrupt.
pub fn run(
    nodes: &[Node],
    room: Room,
    work: impl Fn(&str) -> Result<()> + Sync,
) -> Result<Vec<(String, Outcome)>> {
    run_telling(nodes, room, work, |_| {})
}

/// As [`run`]; every failure but an interrupt is told at once, also of what was never begun.
///
/// # Errors
/// The interrupt.
pub fn run_telling(
    nodes: &[Node],
    room: Room,
    work: impl Fn(&str) -> Result<()> + Sync,
    tell: impl Fn(&Error) + Sync,
) -> Result<Vec<(String, Outcome)>> {
    let shared = Shared {
        nodes,
        room,
        tell: &tell,
        state: Mutex::new(vec![State::Waiting; nodes.len()]),
        results: Mutex::default(),
        changed: Condvar::new(),
    };
    let workers = room.images.clamp(1, nodes.len().max(1));
    // A thread stays to the end of all work: programs that it started for all may end with it.
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| shared.worker(&work));
        }
    });
    let mut results = shared.results.into_inner().unwrap_or_default();
    let mut ordered = vec![];
    for node in nodes {
        match results.remove(&node.name) {
            Some(Outcome::Failed(error)) if matches!(error.kind(), Kind::Interrupted(_)) => {
                return Err(error);
            }
            Some(outcome) => ordered.push((node.name.clone(), outcome)),
            None => interrupt::check()?,
        }
    }
    Ok(ordered)
}

/// One failed target is the error; of several, each is told.
///
/// # Errors
/// When one failed.
pub fn failures(outcomes: Vec<(String, Outcome)>, ui: &Ui) -> Result<()> {
    let all = outcomes.len();
    let failed = outcomes
        .into_iter()
        .filter_map(|(label, outcome)| match outcome {
            Outcome::Failed(error) => Some((label, error)),
            _ => None,
        });
    let mut failed: Vec<_> = failed.collect();
    if failed.len() < 2 {
        return failed.pop().map_or(Ok(()), |(_, error)| Err(error));
    }
    let kind = Kind::of_several(failed.iter().map(|(_, error)| error.kind()));
    let kind = kind.unwrap_or(Kind::Internal);
    let names: Vec<String> = failed.iter().map(|(label, _)| label.clone()).collect();
    for (_, error) in failed {
        ui.warning(error.render().trim_end().to_owned());
    }
    Err(Error::new(kind, format!("{} of {all} targets failed", names.len())).evidence(names))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Running,
    Done,
    Failed,
}

enum Next {
    Run(usize),
    Wait,
    End,
}

struct Shared<'a> {
    nodes: &'a [Node],
    room: Room,
    tell: &'a (dyn Fn(&Error) + Sync),
    state: Mutex<Vec<State>>,
    results: Mutex<BTreeMap<String, Outcome>>,
    changed: Condvar,
}

impl Shared<'_> {
    fn worker(&self, work: &(impl Fn(&str) -> Result<()> + Sync)) {
        let Ok(mut state) = self.state.lock() else {
            return;
        };
        loop {
            match self.next(&mut state) {
                Next::End => break,
                Next::Wait => {
                    let Ok(woken) = self.changed.wait(state) else {
                        return;
                    };
                    state = woken;
                }
                Next::Run(index) => {
                    state[index] = State::Running;
                    drop(state);
                    let outcome = Outcome::from(work(&self.nodes[index].name));
                    let done = matches!(outcome, Outcome::Done);
                    self.note(index, outcome);
                    let Ok(again) = self.state.lock() else {
                        return;
                    };
                    state = again;
                    state[index] = if done { State::Done } else { State::Failed };
                    self.changed.notify_all();
                }
            }
        }
        self.changed.notify_all();
    }

    /// What a free worker does now. What builds on a failure fails here.
    fn next(&self, state: &mut [State]) -> Next {
        loop {
            let waiting = |(index, _): &(usize, &Node)| state[*index] == State::Waiting;
            let mut all = self.nodes.iter().enumerate().filter(waiting);
            let skipped = all.find_map(|(index, node)| {
                let lost = self.parents(node).find(|it| state[*it] == State::Failed)?;
                Some((index, self.nodes[lost].name.clone()))
            });
            let Some((index, parent)) = skipped else {
                break;
            };
            state[index] = State::Failed;
            self.note(index, Outcome::Skipped(parent));
        }
        if interrupt::check().is_err() {
            return Next::End;
        }
        let used: u64 = self
            .nodes
            .iter()
            .zip(state.iter())
            .fold(0, |sum, (node, state)| {
                let running = *state == State::Running;
                sum + if running { node.memory.as_bytes() } else { 0 }
            });
        let fits =
            |node: &Node| used == 0 || used + node.memory.as_bytes() <= self.room.memory.as_bytes();
        let ready = |node: &Node| self.parents(node).all(|it| state[it] == State::Done);
        let mut waiting = false;
        for (index, node) in self.nodes.iter().enumerate() {
            if state[index] != State::Waiting {
                continue;
            }
            waiting = true;
            if ready(node) && fits(node) {
                return Next::Run(index);
            }
        }
        if !waiting {
            return Next::End;
        }
        if state.contains(&State::Running) {
            // Somebody's end may free memory, or let a child begin.
            return Next::Wait;
        }
        let open = |index: &usize| state[*index] == State::Waiting;
        let waits = |node: &Node| {
            let on: Vec<usize> = self.parents(node).filter(open).collect();
            let on: Vec<&str> = on.iter().map(|on| self.nodes[*on].name.as_str()).collect();
            format!("{} waits for {}", node.name, on.join(" and "))
        };
        let ring: Vec<usize> = (0..self.nodes.len()).filter(open).collect();
        let causes = ring.iter().map(|index| waits(&self.nodes[*index]));
        let causes: Vec<String> = causes.collect();
        for index in ring {
            state[index] = State::Failed;
            let name = &self.nodes[index].name;
            let error = Error::usage(format!(
                "{name} was not begun: what it waits for waits for it"
            ));
            let error = causes.iter().fold(error, Error::cause);
            let hint = "all architectures of a name are published at once: build the parents first, by a \
                        command of their own";
            self.note(index, Outcome::Failed(error.hint(hint)));
        }
        Next::End
    }

    fn parents(&self, node: &Node) -> impl Iterator<Item = usize> {
        let position = |name: &String| self.nodes.iter().position(|node| node.name == *name);
        node.parents.iter().filter_map(position)
    }

    fn note(&self, index: usize, outcome: Outcome) {
        if let Outcome::Failed(error) = &outcome
            && !matches!(error.kind(), Kind::Interrupted(_))
        {
            (self.tell)(error);
        }
        if let Ok(mut results) = self.results.lock() {
            results.insert(self.nodes[index].name.clone(), outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn node(name: &str, parents: &[&str]) -> Node {
        Node {
            name: name.into(),
            parents: parents.iter().map(|it| (*it).to_owned()).collect(),
            memory: Size::mib(100),
        }
    }

    fn words(results: &[(String, Outcome)]) -> Vec<String> {
        let word = |outcome: &Outcome| match outcome {
            Outcome::Done => "done".to_owned(),
            Outcome::Failed(error) => format!("failed: {}", error.message()),
            Outcome::Skipped(parent) => format!("skipped for {parent}"),
        };
        results
            .iter()
            .map(|(name, outcome)| format!("{name} {}", word(outcome)))
            .collect()
    }

    #[test]
    fn parents_come_first_and_a_failure_stops_only_what_builds_on_it() {
        let nodes = [
            node("leaf", &["middle"]),
            node("middle", &["base"]),
            node("base", &[]),
            node("other", &[]),
            node("twig", &["leaf"]),
        ];
        let order = Mutex::new(vec![]);
        let room = Room {
            memory: Size::mib(1000),
            images: 3,
        };
        let results = run(&nodes, room, |name| {
            order.lock().unwrap().push(name.to_owned());
            match name {
                "middle" => Err(Error::stage("no luck")),
                _ => Ok(()),
            }
        })
        .unwrap();
        assert_eq!(
            words(&results),
            [
                "leaf skipped for middle",
                "middle failed: no luck",
                "base done",
                "other done",
                "twig skipped for leaf"
            ]
        );
        let order = order.into_inner().unwrap();
        let at = |name: &str| order.iter().position(|n| n == name);
        assert!(at("base") < at("middle") && at("leaf").is_none());
    }

    #[test]
    fn all_parents_come_first_and_nobody_waits_for_himself() {
        let room = Room {
            memory: Size::mib(1000),
            images: 2,
        };
        let nodes = [
            node("child", &["one", "other"]),
            node("one", &[]),
            node("other", &[]),
            node("hen", &["egg"]),
            node("egg", &["hen"]),
        ];
        let told = Mutex::new(vec![]);
        let work = |name: &str| match name {
            "other" => Err(Error::stage("no luck")),
            _ => Ok(()),
        };
        let tell = |error: &Error| told.lock().unwrap().push(error.render());
        let results = run_telling(&nodes, room, work, tell);
        let outcomes = [
            "child skipped for other",
            "one done",
            "other failed: no luck",
            "hen failed: hen was not begun: what it waits for waits for it",
            "egg failed: egg was not begun: what it waits for waits for it",
        ];
        assert_eq!(words(&results.unwrap()), outcomes);
        let told = told.into_inner().unwrap();
        assert_eq!(told.len(), 3);
        let ring = "caused by: hen waits for egg\ncaused by: egg waits for hen\nhint: ";
        assert!(told[1].contains(ring) && told[2].contains(ring), "{told:?}");
    }

    #[test]
    fn memory_and_number_bound_what_runs_at_once() {
        let nodes: Vec<Node> = (0..12).map(|n| node(&format!("image-{n}"), &[])).collect();
        let most = |room| {
            let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let results = run(&nodes, room, |_| {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            });
            assert_eq!(results.unwrap().len(), 12);
            most.into_inner()
        };
        assert!(
            most(Room {
                memory: Size::mib(250),
                images: 8
            }) <= 2
        );
        assert_eq!(
            most(Room {
                memory: Size::mib(10),
                images: 8
            }),
            1
        );
        assert_eq!(
            most(Room {
                memory: Size::mib(9000),
                images: 1
            }),
            1
        );
    }
}
