//! Which points are worth their price: the convex hull of cost and latency, from below.

/// The places of the points that nothing is better than, neither another point nor a mixture of two:
/// from the cheapest to the soonest.
pub(super) fn hull(points: &[(f64, f64)]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|&a, &b| {
        let ((x, y), (v, w)) = (points[a], points[b]);
        x.total_cmp(&v).then(y.total_cmp(&w))
    });
    let mut hull: Vec<usize> = Vec::new();
    for next in order {
        // What costs more and takes as long is worth nothing.
        if hull.last().is_some_and(|&last| points[next].1 >= points[last].1) {
            continue;
        }
        while let [.., before, last] = hull[..]
            && !is_below(points[before], points[last], points[next])
        {
            hull.pop();
        }
        hull.push(next);
    }
    hull
}

/// Whether `middle` lies below the line from `left` to `right`.
fn is_below(left: (f64, f64), middle: (f64, f64), right: (f64, f64)) -> bool {
    (middle.1 - left.1) * (right.0 - left.0) < (right.1 - left.1) * (middle.0 - left.0)
}

#[cfg(test)]
mod tests {
    use nigh_base::Rng;

    use super::*;

    #[test]
    fn what_lies_above_a_line_between_two_or_costs_more_for_nothing_is_left_out() {
        let points = [(1.0, 10.0), (2.0, 9.0), (3.0, 2.0), (4.0, 3.0), (5.0, 1.0), (1.0, 11.0)];
        assert_eq!(hull(&points), [0, 2, 4]);
        assert_eq!(hull(&[]), [0; 0]);
        assert_eq!(hull(&[(1.0, 1.0), (1.0, 1.0)]).len(), 1);
    }

    #[test]
    fn it_is_convex_and_nothing_lies_below_it() {
        let mut rng = Rng::new(1);
        let points: Vec<(f64, f64)> = (0..200).map(|_| (rng.unit(), rng.unit())).collect();
        let hull = hull(&points);
        let at: Vec<(f64, f64)> = hull.iter().map(|&place| points[place]).collect();
        assert!(at.len() > 3);
        assert!(at.windows(3).all(|it| is_below(it[0], it[1], it[2])), "{at:?}");
        assert!(at.windows(2).all(|it| it[0].0 < it[1].0 && it[0].1 > it[1].1), "{at:?}");
        for pair in at.windows(2) {
            let under = |it: &&(f64, f64)| {
                (pair[0].0..pair[1].0).contains(&it.0) && is_below(pair[0], **it, pair[1])
            };
            assert_eq!(points.iter().find(under), None);
        }
    }
}
