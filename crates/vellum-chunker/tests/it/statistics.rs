use std::collections::HashSet;

use vellum_chunker::{Algorithm, Chunker};

use crate::common::{ALGORITHMS, lengths, private_sizes, random, ranges, shared_sizes};

#[test]
fn names_lead_back_to_their_algorithm() {
    for algorithm in ALGORITHMS {
        assert_eq!(Algorithm::from_name(algorithm.name()), Some(algorithm));
    }
    assert_eq!(ALGORITHMS.map(Algorithm::name), ["phte128", "window", "gear"]);
    assert_eq!(Algorithm::from_name("PHTE128"), None);
}

#[test]
fn a_chunker_is_shared_between_threads_and_prints_no_secret() {
    fn assert_shared<T: Clone + Send + Sync>() {}
    assert_shared::<Chunker>();
    for algorithm in ALGORITHMS {
        let chunker = Chunker::new(algorithm, private_sizes(), &[42; 32]);
        assert_eq!((chunker.algorithm(), chunker.sizes()), (algorithm, private_sizes()));
        let expected = format!("Chunker {{ algorithm: {algorithm:?}, sizes: {:?}, .. }}", private_sizes());
        assert_eq!(format!("{chunker:?}"), expected);
    }
}

/// Over random data the mean follows from the probabilities: 1.14 avg with min = avg / 4.
#[test]
fn sizes_keep_their_bounds_and_their_mean() {
    let data = random(b"distribution", 32 << 20);
    for algorithm in ALGORITHMS {
        let lengths = lengths(&Chunker::new(algorithm, private_sizes(), &[1; 32]), &data);
        let mean = (data.len() / lengths.len()) as f64 / f64::from(private_sizes().avg());
        assert!((1.0..1.3).contains(&mean), "{algorithm:?}: {mean}");
        let (_last, others) = lengths.split_last().unwrap();
        assert!(others.iter().all(|length| *length >= private_sizes().min() as usize));
        assert!(lengths.iter().all(|length| *length <= private_sizes().max() as usize));
    }
}

#[test]
fn an_inserted_byte_moves_few_boundaries() {
    let after = random(b"shift", (16 << 20) + 1);
    for algorithm in ALGORITHMS {
        for sizes in [private_sizes(), shared_sizes()] {
            let chunker = Chunker::new(algorithm, sizes, &[2; 32]);
            let chunks = |data| ranges(&chunker, data).into_iter().map(|range| blake3::hash(&data[range])).collect();
            let (before, after): (HashSet<_>, HashSet<_>) = (chunks(&after[1..]), chunks(&after));
            assert!(after.difference(&before).count() <= 4);
        }
    }
}

#[test]
fn different_keys_cut_at_unrelated_places() {
    let data = random(b"keys", 8 << 20);
    for algorithm in ALGORITHMS {
        let mut seen = HashSet::new();
        let mut total = 0;
        for key in 0..4 {
            let ranges = ranges(&Chunker::new(algorithm, private_sizes(), &[key; 32]), &data);
            seen.extend(ranges[1..].iter().map(|range| range.start));
            total += ranges.len() - 1;
        }
        assert!(total > 300);
        assert!(seen.len() >= total - 1, "{algorithm:?}: keys share {} cuts", total - seen.len());
    }
}
