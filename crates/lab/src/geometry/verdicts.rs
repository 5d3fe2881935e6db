//! What closed forms and the paper say, and what became of it.

use super::{
    All, DOUBLINGS, Failing, Geometry, Point, QUOTED, Sequential,
    figures::{FORMS, Form},
    quoted, ratio, theory,
};
use crate::claim::{Claim, Tolerance, Verdict};

/// The paper's text has round numbers.
const PERCENT_WITHIN: f64 = 2.5;
/// What one sequential neighbour more or fewer on either side would change, and rounding.
const PAPER_HOPS_WITHIN: f64 = 0.2;

/// Four standard errors of a share of so many ways.
pub(super) fn share_within(ways: u64) -> f64 {
    4.0 * 0.5 / ratio(ways, 1).sqrt()
}

/// The same of a mean number of hops, which vary by two.
pub(super) fn hops_within(ways: u64) -> f64 {
    4.0 * 2.0 / ratio(ways, 1).sqrt()
}

/// What the text of the paper says of a geometry, of 65,536 nodes.
pub(super) struct Published {
    /// The mean number of hops with nobody dead.
    hops: f64,
    /// Their median and 90th percentile, where the tables are such that they can be compared.
    percentiles: Option<[u64; 2]>,
    /// How many ways fail with 30 % dead.
    pub(super) failed_percent: Failed,
}

/// A number, or a limit.
#[derive(Clone, Copy)]
pub(super) enum Failed {
    About(f64),
    Below(f64),
}

impl Failed {
    pub(super) const fn value(self) -> f64 {
        match self {
            Self::About(percent) | Self::Below(percent) => percent,
        }
    }
}

pub(super) fn claims(found: &All, doublings: u32) -> Vec<Claim> {
    let mut claims: Vec<Claim> = FORMS.iter().map(|form| of_form(form, found, doublings)).collect();
    claims.extend(of_hops(found, doublings));
    claims.extend(of_failing_nodes(found, doublings));
    claims.push(of_order(found));
    if doublings == DOUBLINGS {
        claims.extend(Geometry::ALL.map(|geometry| of_paper_hops(found, geometry)));
        claims.push(of_paper_percentiles(found));
        claims.extend(Geometry::ALL.map(|geometry| of_paper_failed(found, geometry)));
        claims.extend(of_sixteen(found));
    }
    claims
}

fn of_form(form: &Form, found: &All, doublings: u32) -> Claim {
    let points = found.full(form.geometry, form.failing);
    let departures = points
        .iter()
        .map(|point| (point.failed_share() - (form.failed)(doublings, point.dead)).abs());
    let what = match form.failing {
        Failing::Nodes => "nodes",
        Failing::Links => "links",
    };
    Claim::near(
        format!(
            "closed form, {}: share of ways that fail with 0 to 90 % of the {what} dead: largest \
             departure",
            form.geometry.name()
        ),
        0.0,
        departures.fold(0.0, f64::max),
        Tolerance::Absolute(share_within(points[0].ways)),
    )
}

/// Half of the bits differ, and each takes one hop.
fn of_hops(found: &All, doublings: u32) -> [Claim; 3] {
    let nodes = 2f64.powf(f64::from(doublings));
    let half = f64::from(doublings) / 2.0 * nodes / (nodes - 1.0);
    [Geometry::Tree, Geometry::Hypercube, Geometry::Xor].map(|geometry| {
        let point = &found.full(geometry, Failing::Nodes)[0];
        Claim::near(
            format!("closed form, {}, full: hops with nobody dead", geometry.name()),
            half,
            point.mean_hops(),
            Tolerance::Absolute(hops_within(point.ways)),
        )
    })
}

/// What the closed forms of ring and xor are not about.
fn of_failing_nodes(found: &All, doublings: u32) -> [Claim; 2] {
    [Geometry::Ring, Geometry::Xor].map(|geometry| {
        let form = if geometry == Geometry::Ring { theory::ring } else { theory::xor };
        let point = quoted(found.full(geometry, Failing::Nodes));
        Claim::near(
            format!(
                "closed form of failing links, {}, full: % of ways that fail with {QUOTED} % of the nodes \
                 dead instead",
                geometry.name()
            ),
            100.0 * form(doublings, point.dead),
            100.0 * point.failed_share(),
            Tolerance::Absolute(100.0 * share_within(point.ways)),
        )
        .because(
            "the form takes every neighbour tried for a new one; but those just before the target \
             are few, and a way meets them from several sides, so that who was dead for one is dead \
             for the next. With links that fail, each for itself, it matches",
        )
    })
}

/// What holds of the bare geometries.
fn of_order(found: &All) -> Claim {
    let groups = [
        [Geometry::Ring, Geometry::Hypercube],
        [Geometry::Xor, Geometry::Hybrid],
        [Geometry::Tree, Geometry::Butterfly],
    ];
    let failed =
        |geometry| 100.0 * quoted(found.beside_paper(geometry, Sequential::Without)).failed_share();
    let shares = groups.map(|group| group.map(failed));
    let ordered =
        shares.windows(2).all(|pair| pair[0][0].max(pair[0][1]) < pair[1][0].min(pair[1][1]));
    let shown = groups.as_flattened().iter().zip(shares.as_flattened());
    let shown: Vec<String> =
        shown.map(|(geometry, share)| format!("{} {share:.0}", geometry.name())).collect();
    Claim::stated(
        format!(
            "paper: fewest ways fail on ring and hypercube, more in xor and hybrid, most in tree and \
             butterfly; % with {QUOTED} % dead and no sequential neighbours"
        ),
        "in this order",
        shown.join(", "),
        Verdict::of(ordered),
    )
}

fn of_paper_hops(found: &All, geometry: Geometry) -> Claim {
    let point = &found.beside_paper(geometry, Sequential::Four)[0];
    let what = format!("paper, {}: hops with nobody dead", geometry.name());
    let within = Tolerance::Absolute(PAPER_HOPS_WITHIN);
    let claim = Claim::near(what, published(geometry).hops, point.mean_hops(), within);
    match geometry {
        Geometry::Butterfly => claim.because(
            "the summaries do not say how many levels there are, nor when exactly a way stops \
             descending and searches the vicinity; here there are as many levels as doublings, and \
             it descends until it has passed the target",
        ),
        _ => claim,
    }
}

/// Besides the means, of all but the butterfly.
fn of_paper_percentiles(found: &All) -> Claim {
    let (mut listed, mut same) = (Vec::new(), true);
    for geometry in Geometry::ALL {
        let Some(paper) = published(geometry).percentiles else { continue };
        let point = &found.beside_paper(geometry, Sequential::Four)[0];
        let measured = [50, 90].map(|percent| point.percentile(percent));
        listed.push(format!("{} {} and {}", geometry.name(), measured[0], measured[1]));
        same &= measured == paper;
    }
    Claim::stated(
        "paper: median and 90th percentile of hops with nobody dead",
        "ring 7 and 10, the others 8 and 10",
        listed.join(", "),
        Verdict::of(same),
    )
}

fn of_paper_failed(found: &All, geometry: Geometry) -> Claim {
    let failed =
        |sequential| 100.0 * quoted(found.beside_paper(geometry, sequential)).failed_share();
    let measured = failed(Sequential::Four);
    let what = format!("paper, {}: % of ways that fail with {QUOTED} % dead", geometry.name());
    let claim = match published(geometry).failed_percent {
        Failed::About(percent) => {
            Claim::near(what, percent, measured, Tolerance::Absolute(PERCENT_WITHIN))
        }
        Failed::Below(percent) => Claim::at_most(what, percent, measured),
    };
    match geometry {
        Geometry::Hypercube => claim.because(
            "with one neighbour for each bit the closed form says 12.4, and 9 of them at one place: two \
             bits before the target both nodes between are dead once in eleven times. Sequential \
             neighbours do not help, since they are seldom nearer in bits. The paper's cube may have had \
             a wider choice, as a CAN has whose zones are not all alike; what it had is not in the \
             summaries",
        ),
        Geometry::Hybrid => claim.because(format!(
            "by Pastry's second rule, as long a prefix and nearer on the circle, sequential neighbours \
             serve the end of a way. Without any it is {:.1}, with one on either side {:.1}; the paper \
             seems to have had the rule of xor or fewer of them",
            failed(Sequential::Without),
            failed(Sequential::Two),
        )),
        Geometry::Butterfly => claim.because(
            "a way climbs and descends without a choice, and 0.7^k ways pass k living nodes: a tenth \
             pass six, and a way of 21 hops has far more. The paper's text names tree and butterfly \
             together",
        ),
        _ => claim,
    }
}

fn of_sixteen(found: &All) -> [Claim; 3] {
    [Geometry::Ring, Geometry::Hypercube, Geometry::Hybrid].map(|geometry| {
        let point: &Point = quoted(found.beside_paper(geometry, Sequential::Sixteen));
        Claim::near(
            format!(
                "paper, {}, 16 sequential neighbours: % of ways that fail with {QUOTED} % dead",
                geometry.name()
            ),
            0.0,
            100.0 * point.failed_share(),
            Tolerance::Absolute(0.1),
        )
    })
}

pub(super) const fn published(geometry: Geometry) -> Published {
    let (hops, percentiles, failed_percent) = match geometry {
        Geometry::Ring => (7.4, Some([7, 10]), Failed::Below(7.0)),
        Geometry::Hypercube => (7.7, Some([8, 10]), Failed::Below(7.0)),
        Geometry::Xor | Geometry::Hybrid => (7.7, Some([8, 10]), Failed::About(20.0)),
        Geometry::Tree => (7.7, Some([8, 10]), Failed::About(90.0)),
        Geometry::Butterfly => (21.4, None, Failed::About(90.0)),
    };
    Published { hops, percentiles, failed_percent }
}

/// With which sequential neighbours a geometry was tried.
pub(super) const fn tried(geometry: Geometry) -> &'static [Sequential] {
    match geometry {
        Geometry::Butterfly => &[Sequential::Without],
        Geometry::Tree | Geometry::Xor => &[Sequential::Without, Sequential::Two, Sequential::Four],
        Geometry::Ring | Geometry::Hypercube | Geometry::Hybrid => {
            &[Sequential::Without, Sequential::Two, Sequential::Four, Sequential::Sixteen]
        }
    }
}
