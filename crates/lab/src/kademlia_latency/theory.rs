//! How many hops a lookup takes whose next node is always the nearest by XOR that is known: an exact
//! recurrence for nodes at random places whose buckets are drawn.
//!
//! Somebody knows j of the n nodes in the part of the key space in which the key lies. Cut in two, m of the
//! n and i of the j are in the key's half. With m none, as with m all, the key's next bits are as good as
//! any among all n. With i none, the nearest that is known lies in the other half; it is the next hop, and
//! knows as many of the m as a bucket has. Else the same begins anew with i of m. With j all, the owner is
//! known and is the last hop.

/// What is left of a binomial distribution beyond so many standard deviations is nothing here.
const DEVIATIONS: f64 = 7.0;

/// The mean number of hops among so many nodes, of lookups whose asker is not the owner.
#[expect(clippy::cast_precision_loss, reason = "some thousands")]
pub(super) fn mean_hops(nodes: usize, bucket: usize) -> f64 {
    let logarithms = Logarithms::up_to(nodes.max(bucket));
    let known = among_known(nodes, bucket, &logarithms);
    // Of n nodes in a part of the space in which both key and asker lie: hops from this asker. It is the
    // owner if it is alone, and any of them owns the key with the same chance.
    let mut hops = vec![0.0; nodes + 1];
    for n in 2..=nodes {
        let (mut sum, mut again) = (0.0, 0.0);
        for (m, chance) in logarithms.binomial(n - 1) {
            // In the asker's half there are m others.
            if m == n - 1 {
                again += chance / 2.0
            } else {
                sum += chance / 2.0 * hops[m + 1]
            }
            // In the other half there are m, and the key lies there.
            if m == 0 {
                again += chance / 2.0
            } else {
                sum += chance / 2.0 * known[m][m.min(bucket)]
            }
        }
        hops[n] = sum / (1.0 - again);
    }
    hops[nodes] / (1.0 - 1.0 / nodes as f64)
}

/// For each n and each j up to a bucket: the mean number of hops from whoever knows j of the n.
fn among_known(nodes: usize, bucket: usize, logarithms: &Logarithms) -> Vec<Vec<f64>> {
    let choose = |j: usize, i: usize| logarithms.choose(j, i).exp();
    let ways: Vec<Vec<f64>> =
        (0..=bucket).map(|j| (0..=j).map(|i| choose(j, i)).collect()).collect();
    let products: Vec<Vec<f64>> = (0..=nodes).map(|n| falling(n, bucket)).collect();
    let mut known: Vec<Vec<f64>> = vec![vec![0.0; bucket + 1]];
    for n in 1..=nodes {
        let mut row = vec![0.0; bucket + 1];
        let mut again = 0.0;
        for (m, chance) in logarithms.binomial(n) {
            if m == 0 || m == n {
                again += chance;
                continue;
            }
            let (here, there, of_n) = (&products[m], &products[n - m], &products[n]);
            for j in 1..=bucket.min(n - 1) {
                let mut sum = 0.0;
                for i in 0..=j.min(m) {
                    let share = ways[j][i] * here[i] * there[j - i] / of_n[j];
                    let hops = if i == 0 { 1.0 + known[m][m.min(bucket)] } else { known[m][i] };
                    sum += share * hops;
                }
                row[j] += chance * sum;
            }
        }
        row.iter_mut().for_each(|it| *it /= 1.0 - again.min(0.5));
        if n <= bucket {
            row[n] = 1.0;
        }
        known.push(row);
    }
    known
}

/// n (n - 1) ... for 0, 1, 2, ... factors.
#[expect(clippy::cast_precision_loss, reason = "some thousands")]
fn falling(n: usize, most: usize) -> Vec<f64> {
    let mut products = vec![1.0];
    for count in 0..most {
        products.push(products[count] * n.saturating_sub(count) as f64);
    }
    products
}

/// The logarithms of factorials.
#[derive(Debug)]
struct Logarithms(Vec<f64>);

impl Logarithms {
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    fn up_to(most: usize) -> Self {
        let mut sums = vec![0.0];
        for n in 1..=most {
            sums.push(sums[n - 1] + libm::log(n as f64));
        }
        Self(sums)
    }

    fn choose(&self, n: usize, m: usize) -> f64 {
        self.0[n] - self.0[m] - self.0[n - m]
    }

    /// How many of `n` lie in one half, and how likely it is, without what is as good as impossible.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "some thousands"
    )]
    fn binomial(&self, n: usize) -> impl Iterator<Item = (usize, f64)> {
        let around = (DEVIATIONS * (n as f64).sqrt() / 2.0).ceil() as usize + 1;
        let (least, most) = ((n / 2).saturating_sub(around), n.min(n / 2 + around));
        let all = n as f64 * std::f64::consts::LN_2;
        (least..=most).map(move |m| (m, libm::exp(self.choose(n, m) - all)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_knows_all_needs_one_hop() {
        assert!((mean_hops(2, 8) - 1.0).abs() < 1e-9);
        assert!((mean_hops(9, 8) - 1.0).abs() < 1e-9);
        assert!(mean_hops(10, 8) > 1.0);
    }

    #[test]
    fn of_three_nodes_with_buckets_of_one_some_are_two_hops_away() {
        // Two are in the key's half and the asker is not: it knows one of them, the owner or the other.
        // By hand: known(2, 1) = 1.5, since each of the two owns the key with the same chance. With
        // a(3) = hops of an asker of three, the owner among them: a(2) = 1/2, and
        // a(3) (1 - 1/4) = 1/2 (1/2 a(2)) + 1/2 (1/2 * 1 + 1/4 * 1.5).
        let expected = (0.125 + 0.25 + 0.1875) / 0.75 / (2.0 / 3.0);
        assert!((mean_hops(3, 1) - expected).abs() < 1e-9, "{}", mean_hops(3, 1));
    }

    #[test]
    fn a_tree_of_buckets_of_one_takes_about_half_a_hop_for_each_doubling() {
        // Half of the bits of each next node are right already.
        let grown = mean_hops(2048, 1) - mean_hops(1024, 1);
        assert!((grown - 0.5).abs() < 0.01, "{grown}");
    }
}
