//! Small clusters, quickly.

use super::*;

#[test]
fn crashes_are_noticed_and_known_and_nobody_else_is_declared_down() {
    let found = crashes::find(40, 0.0, &mut Rng::new(1));
    let counts = (found.known.len(), found.missed, found.false_deaths);
    assert_eq!(counts, (crashes::CRASHES, 0, 0));
    for ((suspected, declared), known) in
        found.suspected.iter().zip(&found.declared).zip(&found.known)
    {
        assert!(*suspected >= 0.9 && suspected < declared && declared <= known && *known < 25.0);
    }
}

#[test]
fn periods_in_lockstep_are_whole_and_about_as_many_as_the_closed_form_says() {
    let rounds = Sample::new(crashes::in_lockstep(100, &mut Rng::new(2)));
    assert!((1.0..=2.6).contains(&rounds.mean()), "{rounds:?}");
    assert_eq!(rounds.percentile(50.0).fract(), 0.0);
}

#[test]
fn gossip_makes_words_faster_and_costs_nothing_while_nothing_happens() {
    let [alone, gossip] = [false, true].map(|it| spread::find(50, it, &mut Rng::new(3)).periods);
    assert!(gossip.mean() < alone.mean() / 2.0, "{gossip:?} {alone:?}");
    let quiet = quiet::find(50, 0.0, &mut Rng::new(4));
    assert!((2.0..2.5).contains(&quiet.datagrams), "{quiet:?}");
    assert!(quiet.bytes < 600.0, "{quiet:?}");
}

#[test]
fn clusters_of_too_few_are_refused() {
    let options = Options { nodes: Some(9), ..Options::new(1) };
    let error = EXPERIMENT.run(&options, &mut |_| ()).unwrap_err();
    assert_eq!(error, Error::Nodes { asked: 9, least: FEWEST_NODES, most: MOST_NODES });
}
