//! Whom a cluster declares down that is there: under loss, beside members that are slow, and across
//! a cut, with the time that it takes to heal.
//!
//! Dadgar, Phillips and Currey, "Lifeguard: Local Health Awareness for More Accurate Failure
//! Detection", 2017 and 2018 (arXiv 1707.00788), stop members for seconds and count those that are
//! declared down though they are well. What is run here is SWIM with suspicion, and of Lifeguard the
//! buddy system alone.

mod cuts;
mod losses;
mod slow;
mod verdicts;

use nigh_base::Rng;

use self::{cuts::Cut, losses::Loss, slow::Slow};
use crate::{
    Error, Experiment, Options, Progress, Report, parallel,
    table::{Cell, Column, Table},
};

pub(crate) const EXPERIMENT: Experiment = Experiment {
    name: "swim-faults",
    shows: "Which members are declared down though they are there, and how a cut cluster heals",
    source: "the set-up of Dadgar, Phillips, Currey: Lifeguard, DSN-W 2018 (arXiv 1707.00788), \
             of whose extensions only the buddy system is here; Das, Gupta, Motivala: SWIM, DSN \
             2002, section 4.2",
    takes: &[],
    run,
};

/// Edges of a large cluster.
const NODES: u64 = 1000;
const FEWEST_NODES: u64 = 32;
const MOST_NODES: u64 = 4000;
/// Members beside which some are slow, and that are watched for long.
const FEW: u32 = 128;
/// Members that are slow at once, and for how many seconds each time.
const SLOW: [u32; 3] = [1, 8, 32];
const PAUSES_SECS: [u64; 4] = [1, 4, 8, 16];
/// Watches of a few members under loss, each by itself.
const WATCHES: u64 = 4;

/// One piece of work.
#[derive(Clone, Copy, Debug)]
enum Job {
    Loss { nodes: u32, secs: u64 },
    Cut { nodes: u32 },
    Slow { count: u32, pause_secs: u64, waits_anew: bool },
}

/// What came of it.
#[derive(Clone, Debug)]
enum Found {
    Loss(Loss),
    Cut(Cut),
    Slow(Slow),
}

fn run(options: &Options, told: &mut dyn FnMut(Progress)) -> Result<Report, Error> {
    let nodes = options.nodes_within(NODES, FEWEST_NODES, MOST_NODES)?;
    let nodes = u32::try_from(nodes).expect("the limits are below 32 bits");
    let few = nodes.min(FEW);
    let rng = Rng::new(options.seed);
    let mut jobs = vec![Job::Loss { nodes, secs: losses::MANY_SECS }];
    jobs.extend((0..WATCHES).map(|_| Job::Loss { nodes: few, secs: losses::FEW_SECS }));
    jobs.extend([nodes, few, few / 8].map(|nodes| Job::Cut { nodes }));
    let slow = SLOW.iter().flat_map(|&count| PAUSES_SECS.map(|pause| (count.min(few / 4), pause)));
    jobs.extend(slow.flat_map(|(count, pause_secs)| {
        [false, true].map(|waits_anew| Job::Slow { count, pause_secs, waits_anew })
    }));
    let found = parallel::map(
        jobs.len(),
        |place| {
            let mut rng = rng.fork(place as u64);
            match jobs[place] {
                Job::Loss { nodes, secs } => Found::Loss(losses::find(nodes, secs, &mut rng)),
                Job::Cut { nodes } => Found::Cut(cuts::find(nodes, &mut rng)),
                Job::Slow { count, pause_secs, waits_anew } => {
                    Found::Slow(slow::find(few, count, pause_secs, waits_anew, &mut rng))
                }
            }
        },
        |done| {
            let text = format!("{done} of {} clusters", jobs.len());
            told(Progress { done: share(done as u64, jobs.len() as u64), text });
        },
    );
    let figures = Figures::of(found);
    let tables = vec![figures.loss_table(), figures.slow_table(), figures.cut_table()];
    let mut report = Report::new(&EXPERIMENT, options, setup(nodes, few), tables);
    report.claims = verdicts::claims(&figures);
    Ok(report)
}

/// All that was found.
#[derive(Debug, Default)]
struct Figures {
    losses: Vec<Loss>,
    slow: Vec<Slow>,
    cuts: Vec<Cut>,
}

impl Figures {
    fn of(found: Vec<Found>) -> Self {
        let mut figures = Self::default();
        for it in found {
            match it {
                Found::Loss(more) => {
                    match figures.losses.iter_mut().find(|it| it.nodes == more.nodes) {
                        Some(before) => before.add(&more),
                        None => figures.losses.push(more),
                    }
                }
                Found::Cut(cut) => figures.cuts.push(cut),
                Found::Slow(slow) => figures.slow.push(slow),
            }
        }
        figures
    }

    fn loss_table(&self) -> Table {
        let mut table = Table::new(vec![
            Column::new("members", ""),
            Column::new("watched", "h"),
            Column::new("suspicions", "a member and hour"),
            Column::new("longest suspicion of one who is there", "s"),
            Column::new("declared down after", "s"),
            Column::new("false deaths", ""),
            Column::new("false deaths, at most with 95 %", "a member and day"),
        ])
        .titled("One datagram of ten is lost");
        for it in &self.losses {
            table.row(vec![
                Cell::count(it.nodes.into()),
                Cell::number(it.hours, 2),
                Cell::number(it.suspicions_an_hour(), 1),
                Cell::number(it.longest_secs, 2),
                Cell::number(it.window_secs, 1),
                Cell::count(it.false_deaths),
                Cell::number(it.deaths_a_day_at_most(), 4),
            ]);
        }
        table
    }

    fn slow_table(&self) -> Table {
        let mut table = Table::new(vec![
            Column::new("slow members", ""),
            Column::new("of", ""),
            Column::new("each stops for", "s"),
            Column::new("waits anew", ""),
            Column::new("declared down after", "s"),
            Column::new("deaths of slow ones", "a slow one and hour"),
            Column::new("false deaths of the others", "a member and day"),
            Column::new("suspicions of the others", "a member and hour"),
        ])
        .titled("Members that stop for a while, go on for one to three seconds, and stop again");
        for it in &self.slow {
            table.row(vec![
                Cell::count(it.count.into()),
                Cell::count(it.nodes.into()),
                Cell::count(it.pause_secs),
                Cell::text(if it.waits_anew { "yes" } else { "no" }),
                Cell::number(it.window_secs, 1),
                Cell::number(it.slow_deaths_an_hour(), 2),
                Cell::number(it.false_deaths_a_day(), 2),
                Cell::number(it.suspicions_an_hour(), 2),
            ]);
        }
        table
    }

    fn cut_table(&self) -> Table {
        let mut table = Table::new(vec![
            Column::new("members", ""),
            Column::new("until each half sees itself alone", "s"),
            Column::new("from the healing until half of all pairs see each other", "s"),
            Column::new("until all do", "s"),
            Column::new("lives begun", "a member"),
        ])
        .titled("Two halves, cut for two minutes, or until each sees itself alone");
        for it in &self.cuts {
            table.row(vec![
                Cell::count(it.nodes.into()),
                Cell::number(it.parted_secs, 0),
                Cell::number(it.half_secs, 0),
                Cell::number(it.healed_secs, 0),
                Cell::number(it.lives, 2),
            ]);
        }
        table
    }
}

#[expect(clippy::cast_precision_loss, reason = "there are far fewer of all than 2^53")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

fn setup(nodes: u32, few: u32) -> String {
    let [nodes, few] = [nodes, few].map(|it| Cell::count(it.into()));
    format!(
        "Members that know each other, 5 to 10 ms apart, with the settings that edges have: a period \
         of 1 s, 400 ms for an answer, three others who are asked to ping, gossip every 200 ms, a \
         suspicion of four periods times log10 N. \
         Loss: {nodes} members for {} minutes, and {few} in {WATCHES} clusters for {} minutes each, \
         one datagram of ten lost, nobody crashes; so every death is false. Each of those begins \
         another life, and these are counted: a death that many declare counts once. Where none is \
         seen, there are fewer than three in the time that was watched, with 95 %; with k it is \
         k + 2 sqrt k + 3. How long one who is there stays suspected, from the first who suspects to \
         the last who is told otherwise, is seen by {} members of each cluster. \
         Slow members: of {few}, some stop for a while as a process that is stopped does: what is \
         sent to it waits, up to 1,000 datagrams, and its timers are late; then it goes on for one to \
         three seconds, and stops again, for {} minutes, nothing lost. Who stops for longer than the \
         suspicion is down by any rule; the others are suspected by slow ones only, which take for \
         silence what lies unread in their own queues: this is what Lifeguard is against, of which \
         the buddy system is here. Who waits anew, as edges do, takes the time of its stop for no \
         time. Lifeguard's set-up differs (its implementation, memberlist, has other means to pass \
         words on), and its tables could not be read, so only what its abstract says stands beside. \
         Cuts: two halves do not reach each other for two minutes, or until each sees itself alone if \
         that takes longer; then they do.",
        losses::MANY_SECS / 60,
        losses::FEW_SECS / 60,
        losses::OBSERVERS,
        slow::SPAN_SECS / 60,
    )
}

#[cfg(test)]
mod tests;
