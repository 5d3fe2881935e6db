//! Faults by the clock: what goes wrong when, drawn from a seed, and cut down to what matters.
//!
//! A plan that breaks an invariant is shrunk by delta debugging (Zeller and Hildebrandt, IEEE TSE
//! 28(2), 2002) to one of which no step can be left out. Seed and kept steps are the bug report.

use std::{fmt, time::Duration};

use nigh_base::{Machine, Rng, Time, wire::Wire};

use crate::{HostId, World};

/// Something that goes wrong, or right again.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The power of a host goes off.
    Crash(HostId),
    /// A host that is down comes up, with what its disk kept.
    Restart(HostId),
    /// A host stops in its tracks.
    Pause(HostId),
    /// It goes on.
    Resume(HostId),
    /// These hosts and all others do not reach each other.
    Part(Vec<HostId>),
    /// What these hosts send does not reach the others.
    Mute(Vec<HostId>),
    /// Every cut is undone.
    Heal,
    /// From now on this share of datagrams is lost, as many doubled, and twice as many late.
    Weather(f64),
}

/// A fault and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// When.
    pub at: Time,
    /// What.
    pub fault: Fault,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s: {:?}", self.at.secs_f64(), self.fault)
    }
}

/// What a drawn plan is made of.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    /// When the first fault comes.
    pub from: Time,
    /// When the last does; behind it all is mended.
    pub until: Time,
    /// The mean time between two faults.
    pub every: Duration,
    /// How many hosts may be down at once.
    pub down_max: usize,
    /// The largest share of datagrams that the weather takes.
    pub loss_max: f64,
    /// Whether the network may be parted.
    pub parting: bool,
}

/// Draws faults among `hosts`; the last steps mend all that was broken.
pub fn draw(mix: Mix, hosts: &[HostId], rng: &mut Rng) -> Vec<Step> {
    let mut steps = Vec::new();
    let (mut down, mut paused, mut cut) = (Vec::new(), Vec::new(), false);
    let mut at = mix.from;
    loop {
        at = at.after(rng.between(Duration::ZERO, 2 * mix.every));
        if at >= mix.until {
            break;
        }
        let host = hosts[rng.index(hosts.len())];
        let some = |rng: &mut Rng| {
            let mut some = hosts.to_vec();
            rng.shuffle(&mut some);
            some.truncate(1 + rng.index(hosts.len().div_ceil(2)));
            some.sort_unstable();
            some
        };
        let free = !down.contains(&host) && !paused.contains(&host);
        let fault = match rng.below(8) {
            0 | 1 if free && down.len() < mix.down_max => {
                down.push(host);
                Fault::Crash(host)
            }
            2 | 3 if !down.is_empty() => Fault::Restart(down.swap_remove(rng.index(down.len()))),
            4 if free && down.len() + paused.len() < mix.down_max => {
                paused.push(host);
                Fault::Pause(host)
            }
            5 if !paused.is_empty() => Fault::Resume(paused.swap_remove(rng.index(paused.len()))),
            6 if mix.parting && !cut => {
                cut = true;
                if rng.one_in(2) { Fault::Part(some(rng)) } else { Fault::Mute(some(rng)) }
            }
            6 if cut => {
                cut = false;
                Fault::Heal
            }
            7 => Fault::Weather(rng.unit() * mix.loss_max),
            _ => continue,
        };
        steps.push(Step { at, fault });
    }
    let at = mix.until;
    let mended = [Fault::Weather(0.0), Fault::Heal];
    steps.extend(mended.map(|fault| Step { at, fault }));
    steps.extend(paused.into_iter().map(|host| Step { at, fault: Fault::Resume(host) }));
    steps.extend(down.into_iter().map(|host| Step { at, fault: Fault::Restart(host) }));
    steps
}

/// Lets a fault happen now; a host that comes up gets its machine from `build`. What does not fit
/// the world as it is (a host that is up already) does nothing, so that any part of a plan is one.
pub fn apply<T>(world: &mut World<T>, fault: &Fault, build: &mut dyn FnMut(HostId) -> T)
where
    T: Machine + Send,
    T::Message: Wire + Clone + Send,
    T::Command: Send,
    T::Event: Send,
{
    let others = |some: &[HostId]| -> Vec<HostId> {
        world.hosts().filter(|host| !some.contains(host)).collect()
    };
    match fault {
        Fault::Crash(host) if world.is_up(*host) => world.crash(*host),
        Fault::Restart(host) if !world.is_up(*host) => {
            let machine = build(*host);
            world.restart(*host, machine);
        }
        Fault::Crash(_) | Fault::Restart(_) => {}
        Fault::Pause(host) => world.pause(*host),
        Fault::Resume(host) => world.resume(*host),
        Fault::Part(some) => {
            let others = others(some);
            world.network_mut().part(some, &others);
        }
        Fault::Mute(some) => {
            let others = others(some);
            world.network_mut().cut(some, &others);
        }
        Fault::Heal => world.network_mut().heal(),
        Fault::Weather(loss) => {
            let network = world.network_mut();
            (network.loss, network.duplication, network.reordering) = (*loss, *loss, 2.0 * loss);
        }
    }
}

/// The places of the fewest steps with which `fails` still fails, so that none can be left out.
/// Asks `fails` about `steps.len()` squared times at worst.
pub fn shrink<S: Clone>(steps: &[S], mut fails: impl FnMut(&[S]) -> bool) -> Vec<usize> {
    let mut kept: Vec<usize> = (0..steps.len()).collect();
    let mut fails_with = |places: &[usize]| {
        let some: Vec<S> = places.iter().map(|&place| steps[place].clone()).collect();
        fails(&some)
    };
    let mut size = kept.len();
    while size > 0 {
        let mut start = 0;
        while start < kept.len() {
            let end = (start + size).min(kept.len());
            let fewer = [&kept[..start], &kept[end..]].concat();
            if fails_with(&fewer) {
                kept = fewer;
            } else {
                start = end;
            }
        }
        // The last round leaves single steps out, again until none can go.
        size = if size > 1 { size / 2 } else { 0 };
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_shrinks_to_the_steps_that_matter() {
        let steps: Vec<u32> = (0..100).collect();
        let kept = shrink(&steps, |some| some.contains(&17) && some.contains(&80));
        assert_eq!(kept, [17, 80]);
        assert!(shrink(&steps, |_| true).is_empty());
        assert_eq!(shrink(&steps, |some| some.len() == 100).len(), 100);
    }

    #[test]
    fn a_drawn_plan_mends_what_it_broke_and_is_the_same_for_the_same_seed() {
        let hosts: Vec<HostId> = (0..10).map(HostId).collect();
        let mix = Mix {
            from: Time::from_secs(10),
            until: Time::from_secs(100),
            every: Duration::from_secs(1),
            down_max: 3,
            loss_max: 0.2,
            parting: true,
        };
        for seed in 0..100 {
            let steps = draw(mix, &hosts, &mut Rng::new(seed));
            assert_eq!(steps, draw(mix, &hosts, &mut Rng::new(seed)));
            let (mut down, mut paused) = (Vec::new(), Vec::new());
            for step in &steps {
                match &step.fault {
                    Fault::Crash(host) => down.push(*host),
                    Fault::Restart(host) => down.retain(|other| other != host),
                    Fault::Pause(host) => paused.push(*host),
                    Fault::Resume(host) => paused.retain(|other| other != host),
                    _ => {}
                }
                assert!(down.len() + paused.len() <= 2 * mix.down_max);
            }
            assert!(down.is_empty() && paused.is_empty() && steps.len() > 10);
        }
    }
}
