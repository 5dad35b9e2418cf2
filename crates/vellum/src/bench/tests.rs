use super::*;
use std::cell::RefCell;
use vellum_format::ObjectKind;
use vellum_repository::storage::MemoryStorage;

fn quick(parts: &[Part], storage: Option<&dyn Storage>) -> BenchReport {
    let options = BenchOptions { parts: parts.to_vec(), quick: true, storage };
    bench(&options, &Context::default(), &mut |_| ()).expect("nothing fails in memory")
}

fn names(figures: &[Figure]) -> Vec<String> {
    figures.iter().map(|figure| figure.stage.to_string()).collect()
}

#[test]
fn every_stage_is_measured_once_and_told_as_it_comes() {
    let storage = MemoryStorage::new();
    let told = RefCell::new(Vec::new());
    let options = BenchOptions { parts: Vec::new(), quick: true, storage: Some(&storage) };
    let report = bench(&options, &Context::default(), &mut |figure| told.borrow_mut().push(*figure)).expect("memory");
    let expected = [
        "memory",
        "chunker phte128",
        "chunker window",
        "chunker gear",
        "hash",
        "compress 1",
        "compress 3",
        "compress 6",
        "seal",
        "parity",
        "backup text",
        "backup random",
        "storage",
    ];
    assert_eq!(names(&report.figures), expected);
    assert_eq!(names(&told.borrow()), expected);
    assert!(report.figures.iter().all(|figure| figure.bytes >= 1 << 20));
    let mut left = 0;
    storage.list(ObjectKind::Pack, &mut |_| left += 1).expect("memory");
    assert_eq!(left, 0, "what was written is deleted");
    assert!(report.bound.is_some());
}

#[test]
fn parts_are_measured_alone_and_say_nothing_about_a_backup() {
    let report = quick(&[Part::Seal, Part::Hash], None);
    assert_eq!(names(&report.figures), ["hash", "seal"]);
    assert!(report.bound.is_none());
    assert!(quick(&[Part::Storage], None).figures.is_empty(), "without a storage there is nothing to write to");
}

#[test]
fn a_backup_stores_less_text_and_more_than_all_of_what_is_random() {
    let report = quick(&[Part::Backup], None);
    let [text, random] = report.figures[..] else { panic!("{:?}", report.figures) };
    assert!(text.stored_bytes < Some(text.bytes / 2), "{text:?}");
    assert!(random.stored_bytes > Some(random.bytes), "{random:?}");
}

#[test]
fn who_asks_to_stop_is_heard() {
    let context = Context::default();
    context.cancel.cancel();
    let stopped = bench(&BenchOptions { quick: true, ..BenchOptions::default() }, &context, &mut |_| ());
    assert!(matches!(stopped, Err(Error::Cancelled)));
}

/// Figures by stage and millions of bytes a second; what goes in is halved by compression.
fn bound(rates: &[(Stage, u64)]) -> Option<Bound> {
    let figure = |(stage, rate): &(Stage, u64)| Figure {
        stored_bytes: matches!(stage, Stage::Compress(_) | Stage::Backup(Sample::Text)).then_some(rate * 500_000),
        ..Figure::new(*stage, usize::try_from(rate * 1_000_000).expect("small"), Duration::from_secs(1))
    };
    let figures: Vec<Figure> = rates.iter().map(figure).collect();
    Bound::of(&figures, &CreateOptions::new(Timestamp { seconds: 0, nanoseconds: 0 }))
}

const RATES: [(Stage, u64); 7] = [
    (Stage::Chunker("phte128"), 4000),
    (Stage::Hash, 4000),
    (Stage::Compress(3), 500),
    (Stage::Seal, 1000),
    (Stage::Parity, 4000),
    (Stage::Backup(Sample::Text), 700),
    (Stage::Backup(Sample::Random), 900),
];

#[test]
fn what_takes_most_time_of_a_byte_is_the_slowest() {
    let found = bound(&RATES).expect("every stage is there");
    assert_eq!((found.slowest, found.text_bytes_per_second), (Stage::Compress(3), 700e6));
    // 250, 250, 2000, 500 and 125 picoseconds.
    assert!((found.share - 2000.0 / 3125.0).abs() < 1e-9, "{}", found.share);
    let mut rates = RATES;
    rates[3].1 = 100;
    assert_eq!(bound(&rates).expect("every stage is there").slowest, Stage::Seal);
    for (missing, _) in RATES {
        let rest: Vec<_> = RATES.into_iter().filter(|(stage, _)| *stage != missing).collect();
        assert!(bound(&rest).is_none(), "without {missing}");
    }
}

#[test]
fn a_storage_that_takes_less_than_a_backup_gives_is_what_it_waits_for() {
    let with = |rate: u64| bound(&[&RATES[..], &[(Stage::Storage, rate)]].concat()).expect("every stage is there");
    let slow = with(100);
    assert_eq!(
        (slow.slowest, slow.text_bytes_per_second, slow.random_bytes_per_second),
        (Stage::Storage, 200e6, 100e6)
    );
    let fast = with(600);
    assert_eq!(
        (fast.slowest, fast.text_bytes_per_second, fast.random_bytes_per_second),
        (Stage::Compress(3), 700e6, 600e6)
    );
}
