//! What goes and what stays, why, and what is refused before anything goes.

use crate::scene::{Ran, Scene};
use serde_json::Value;

/// A scene with one snapshot at each of these times, in this order.
fn scene_at(times: &[&str]) -> Scene {
    let scene = Scene::with_repository();
    std::fs::create_dir(scene.source()).expect("a source");
    std::fs::write(scene.source().join("file"), "content").expect("a file");
    times.iter().for_each(|time| back_up(&scene, time, &[]));
    scene
}

fn back_up(scene: &Scene, time: &str, flags: &[&str]) {
    let backup = ["backup", "--quiet", "--host", "h", "--time", time, "source"];
    scene.run(backup.iter().chain(flags)).expect_code(0);
}

const WEEK: [&str; 7] = [
    "2026-06-01T10:00:00Z",
    "2026-06-02T10:00:00Z",
    "2026-06-03T10:00:00Z",
    "2026-06-04T10:00:00Z",
    "2026-06-05T10:00:00Z",
    "2026-06-06T10:00:00Z",
    "2026-06-07T10:00:00Z",
];

/// Days of June 2026, and other times whole, of the snapshots there are.
fn left(scene: &Scene) -> Vec<String> {
    let times = scene.run(["snapshots", "--json"]).expect_code(0).json();
    let time = |snapshot: &Value| snapshot["time"].as_str().expect("a time").to_owned();
    times
        .iter()
        .map(time)
        .map(|time| time.strip_prefix("2026-06-").map_or(time.clone(), |day| day[..2].into()))
        .collect()
}

fn forget(scene: &Scene, flags: &[&str]) -> Ran {
    scene.run(["forget"].iter().chain(flags))
}

/// The group and the summary.
fn forget_json(scene: &Scene, flags: &[&str]) -> (Value, Value) {
    let mut lines = forget(scene, &[flags, &["--json"]].concat()).expect_code(0).json();
    let summary = lines.pop().expect("a summary");
    assert_eq!(summary["type"], "summary");
    let group = lines.into_iter().find(|line| line["type"] == "group").expect("a group");
    (group, summary)
}

/// Restore takes the snapshot before a date; to lose that one would be a bad surprise.
#[test]
fn a_date_that_names_not_exactly_one_snapshot_is_refused() {
    let scene = scene_at(&[WEEK[0], WEEK[1], "2026-06-02T11:00:00Z", WEEK[4]]);
    for (date, candidates) in [("2026-12-31", 1), ("2026-06-04", 2), ("2026-06-02", 2), ("2026-06-05 10:01", 1)] {
        let refused = forget(&scene, &[date]).expect_code(2);
        let lines = refused.error_lines();
        assert!(lines[0].contains(date), "{lines:?}");
        assert_eq!(lines[2].matches(" of 2026-06-").count(), candidates, "{lines:?}");
        assert_eq!(left(&scene).len(), 4, "{date}");
    }
    forget(&scene, &["2026-06-05", "2026-06-02T10:00:00Z"]).expect_code(0);
    assert_eq!(left(&scene), ["01", "02"]);
    assert_eq!(scene.run(["ls", "2026-12-31"]).code, Some(0), "where nothing is lost, a date means what was there");
}

#[test]
fn rules_keep_what_they_say_and_the_rest_goes() {
    let scene = scene_at(&WEEK);
    let (group, summary) = forget_json(&scene, &["--keep-last", "2", "--keep-weekly", "3"]);
    assert_eq!((&group["host"], &group["tags"]), (&"h".into(), &Value::Null));
    assert_eq!(group["paths"][0].as_str(), scene.source().to_str());
    assert_eq!((group["keep"].as_array().map(Vec::len), group["remove"].as_array().map(Vec::len)), (Some(3), Some(4)));
    assert_eq!(group["keep"][0]["id"], group["reasons"][0]["snapshot"]["id"]);
    let matches: Vec<&Value> = (0..3).map(|place| &group["reasons"][place]["matches"]).collect();
    assert_eq!(matches[0], &serde_json::json!(["weekly 2 of 3, as the oldest"]));
    assert_eq!(matches[1], &serde_json::json!(["last 2 of 2"]));
    assert_eq!(matches[2], &serde_json::json!(["last 1 of 2", "weekly 1 of 3"]));
    assert_eq!((&summary["snapshots_kept"], &summary["snapshots_removed"]), (&3.into(), &4.into()));
    assert!(summary["tombstone"].is_string() && summary["dry_run"] == false);
    assert_eq!(left(&scene), ["01", "06", "07"]);
    scene.run(["check", "--read-data"]).expect_code(0);
    let (restored, target) = scene.restore("latest", "target");
    restored.expect_code(0);
    assert_eq!(std::fs::read_to_string(target.join("file")).expect("the file"), "content");
    let (_, again) = forget_json(&scene, &["--keep-last", "2", "--keep-weekly", "3"]);
    assert_eq!((&again["snapshots_removed"], &again["tombstone"]), (&0.into(), &Value::Null));
}

#[test]
fn a_dry_run_and_an_explanation_change_nothing() {
    let scene = scene_at(&WEEK);
    let told = forget(&scene, &["--keep-daily", "2", "--keep-within", "3d", "--dry-run", "--explain"]).expect_code(0);
    for text in ["UTC", "keep    ", "remove  ", "daily 2 of 2; within 3d", "within 3d", "no rule keeps it", "dry run"] {
        assert!(told.stdout.contains(text), "{text} in\n{}", told.stdout);
    }
    assert!(told.stdout.contains("host h, ") && told.stdout.contains("keep 3, remove 4"), "{}", told.stdout);
    let quiet = forget(&scene, &["--keep-last", "1", "-n", "--quiet"]).expect_code(0);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    let (_, summary) = forget_json(&scene, &["--keep-last", "1", "-n"]);
    assert_eq!((&summary["dry_run"], &summary["tombstone"]), (&true.into(), &Value::Null));
    assert_eq!(left(&scene).len(), 7);
    assert_eq!(scene.objects("tombstones").len(), 0);
}

#[test]
fn what_is_named_goes_even_the_last_one() {
    let scene = scene_at(&WEEK[..3]);
    let refused = |flags: &[&str], code: i32, text: &str| {
        let refused = forget(&scene, flags).expect_code(code);
        assert!(refused.error_lines()[0].contains(text), "{}", refused.stderr);
        assert_eq!(left(&scene), ["01", "02", "03"], "{flags:?}");
    };
    refused(&["latest", "ffffffff"], 1, "ffffffff");
    refused(&["latest", "2026-05-01"], 2, "2026-05-01");
    refused(&["latest~3"], 1, "latest~3");
    refused(&["latest", "--keep-last", "1"], 2, "rules");
    let told = forget(&scene, &["2026-06-02", "2026-06-02", "--dry-run"]).expect_code(0);
    assert!(told.stdout.contains("1 snapshot would be removed"), "{}", told.stdout);
    let ids: Vec<String> =
        scene.run(["snapshots", "--json"]).json().iter().map(|line| line["id"].to_string()).collect();
    let named = forget(&scene, &["latest~1", "--json"]).expect_code(0).json();
    assert_eq!((&named[0]["type"], named[0]["id"].to_string()), (&"remove".into(), ids[1].clone()));
    assert_eq!(left(&scene), ["01", "03"]);
    forget(&scene, &[ids[0].trim_matches('"'), &ids[2].trim_matches('"')[..10]]).expect_code(0);
    assert_eq!(left(&scene), [""; 0]);
    scene.run(["check"]).expect_code(0);
}

#[test]
fn rules_that_can_only_be_a_mistake_are_refused() {
    let scene = scene_at(&WEEK[..2]);
    back_up(&scene, "2026-06-03T10:00:00Z", &["--tag", "release,v1"]);
    let refused = |flags: &[&str], code: i32, text: &str| {
        let refused = forget(&scene, flags).expect_code(code);
        assert!(refused.error_lines()[0].contains(text), "{}", refused.stderr);
        assert_eq!(left(&scene).len(), 3, "{flags:?}");
    };
    refused(&[], 2, "no rule");
    refused(&["--keep-last", "0", "--keep-within", "0"], 2, "no rule");
    refused(&["--keep-last", "0", "--allow-empty"], 2, "no rule");
    refused(&["--keep-tag", "relaese"], 1, "relaese");
    refused(&["--keep-tag", "relaese", "--allow-empty"], 1, "relaese");
    refused(&["--keep-tag", "release,v2", "--keep-tag", "v3"], 1, "release,v2, v3");
    refused(&["--keep-tag", "release", "--group-by", "host,paths,tags"], 1, "host h");
    refused(&["--keep-last", "many"], 2, "many");
    refused(&["--keep-last", "1", "--timezone", "Middle/Earth"], 2, "Middle/Earth");
    refused(&["--keep-last", "1", "--grace", "0"], 2, "required");
    let warned = forget(&scene, &["--keep-tag", "relaese", "--keep-last", "1", "-n"]).expect_code(0);
    assert!(warned.stderr.contains("relaese"), "{}", warned.stderr);
    let json = forget(&scene, &["--keep-tag", "relaese", "--json"]).expect_code(1).json();
    assert_eq!(json[0]["code"], "unknown_keep_tag");
    assert_eq!(forget(&scene, &["--keep-last", "1", "--host", "nobody"]).expect_code(0).stderr, "");
    assert_eq!(left(&scene).len(), 3);
    forget(&scene, &["--keep-tag", "release", "--group-by", "tags", "--allow-empty"]).expect_code(0);
    assert_eq!(left(&scene), ["03"]);
}

#[test]
fn tags_and_filters_choose() {
    let scene = scene_at(&[]);
    for (time, tags) in WEEK.iter().zip(["a", "a,b", "b", "", "a", "c", ""]) {
        let flags = ["--tag", tags];
        back_up(&scene, time, if tags.is_empty() { &[] } else { &flags });
    }
    let kept = |flags: &[&str]| forget_json(&scene, &[flags, &["-n"]].concat()).1["snapshots_kept"].clone();
    assert_eq!(kept(&["--keep-tag", "a,b"]), 1);
    assert_eq!(kept(&["--keep-tag", "a", "--keep-tag", "c"]), 4);
    assert_eq!(kept(&["--keep-tag", ""]), 2);
    forget(&scene, &["--tag", "a", "--keep-last", "1"]).expect_code(0);
    assert_eq!(left(&scene), ["03", "04", "05", "06", "07"], "only snapshots with the tag are touched");
    forget(&scene, &["--path", "elsewhere", "--keep-last", "1"]).expect_code(0);
    assert_eq!(left(&scene).len(), 5);
}

#[test]
fn days_are_those_of_the_zone_that_is_asked_for() {
    // Half past three and half past four in the morning are two days in New York, in summer.
    let scene = scene_at(&["2026-06-02T03:30:00Z", "2026-06-02T04:30:00Z", "2026-06-02T23:30:00Z"]);
    let explained = |zone: Option<&str>| {
        let mut command = scene.command();
        command.env("TZ", "EST5EDT,M3.2.0,M11.1.0").args(["forget", "--keep-daily", "2", "-n", "--explain"]);
        Ran::of(command.args(zone.iter().flat_map(|zone| ["--timezone", zone]))).expect_code(0).stdout
    };
    let (here, utc) = (explained(None), explained(Some("UTC")));
    assert!(here.contains("2026-06-01 23:30:00 -04:00        daily 2 of 2\n"), "{here}");
    assert!(utc.contains("2026-06-02 03:30:00 +00:00        daily 2 of 2, as the oldest\n"), "{utc}");
}

#[test]
fn forged_times_push_no_genuine_snapshot_out() {
    let scene = scene_at(&WEEK);
    let rules = ["--keep-daily", "5", "--keep-last", "2"];
    let genuine = ["03", "04", "05", "06", "07"];
    // The same device, dated back to each genuine day and into the future.
    for day in 1..8 {
        back_up(&scene, &format!("2026-06-0{day}T09:59:00Z"), &[]);
        back_up(&scene, &format!("206{day}-01-01T00:00:00Z"), &[]);
    }
    let told = forget(&scene, &rules).expect_code(0);
    assert!(told.stderr.contains("dated in the future") && told.stderr.contains("7 snapshots of"), "{}", told.stderr);
    let left = left(&scene);
    for day in genuine {
        assert!(left.iter().any(|time| time == day), "the {day}th of {left:?}");
    }
    assert_eq!(left.iter().filter(|time| time.starts_with("206")).count(), 7);
}

#[test]
fn the_space_of_what_is_forgotten_comes_back_with_prune() {
    let scene = scene_at(&[]);
    for (number, time) in (0..).zip(&WEEK[..3]) {
        std::fs::write(scene.source().join("large"), vellum_testkit::Random::new(number).bytes(500_000))
            .expect("a file");
        back_up(&scene, time, &[]);
    }
    let stored = || scene.objects("packs").iter().map(|pack| pack.metadata().expect("a pack").len()).sum::<u64>();
    let before = stored();
    let rules = ["--keep-last", "1", "--prune", "--grace", "0", "--json"];
    let told = forget(&scene, &[&rules[..], &["--dry-run"]].concat()).expect_code(0).json();
    assert_eq!((stored(), left(&scene).len()), (before, 3));
    let done = forget(&scene, &rules).expect_code(0).json();
    for figure in ["packs_condemned", "packs_repacked", "bytes_unused"] {
        assert_eq!(told[2][figure], done[2][figure], "a dry run foretells {figure}");
    }
    assert!(done[2]["packs_condemned"].as_u64() > Some(0));
    let types: Vec<&Value> = done.iter().map(|line| &line["type"]).collect();
    assert_eq!(types, ["group", "summary", "summary"]);
    assert!(stored() < before / 2, "{} of {before}", stored());
    scene.run(["check", "--read-data"]).expect_code(0);
    let (restored, target) = scene.restore("latest", "target");
    restored.expect_code(0);
    vellum_testkit::trees::assert_same_tree(&scene.source(), &target);
}

#[test]
fn a_damaged_snapshot_can_be_named_and_makes_other_names_doubtful() {
    let scene = scene_at(&WEEK[..3]);
    let snapshot = scene.run(["snapshots", "--json"]).json().pop().expect("a snapshot");
    let id = snapshot["id"].as_str().expect("an id").to_owned();
    scene.objects("").iter().filter(|path| path.ends_with(&id)).for_each(|path| damage(path));
    let refused = forget(&scene, &["latest"]).expect_code(4);
    assert!(refused.error_lines()[0].contains("latest"), "{}", refused.stderr);
    forget(&scene, &["--keep-last", "1"]).expect_code(4);
    assert_eq!(scene.objects("snapshots").len(), 2, "rules do not count what cannot be read, and leave it");
    let named = forget(&scene, &[&id[..12]]).expect_code(4);
    assert!(named.stdout.contains("damaged") && named.stdout.contains("removed 1 snapshot"), "{}", named.stdout);
    assert_eq!(left(&scene), ["02"]);
    forget(&scene, &["--keep-last", "1"]).expect_code(0);
}

fn damage(object: &std::path::Path) {
    let mut bytes = std::fs::read(object).expect("the object");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::remove_file(object).expect("the object goes");
    std::fs::write(object, bytes).expect("and comes back changed");
}

#[test]
fn forgetting_with_prune_gives_the_space_back() {
    let scene = scene_at(&[]);
    let only_now = scene.source().join("only-now");
    std::fs::write(&only_now, vellum_testkit::Random::new(77).bytes(3 << 20)).expect("a file");
    back_up(&scene, "2026-06-01T10:00:00Z", &[]);
    std::fs::remove_file(&only_now).expect("a file");
    back_up(&scene, "2026-06-02T10:00:00Z", &[]);
    let stored = || -> u64 { scene.run(["stats", "--json"]).expect_code(0).json()[0]["total_size"].as_u64().unwrap() };
    let before = stored();
    forget(&scene, &["--keep-last", "1", "--prune", "--dry-run"]).expect_code(0);
    assert_eq!((stored(), left(&scene).len()), (before, 2), "a dry run changes nothing");
    let waits = forget(&scene, &["--keep-last", "1", "--prune"]).expect_code(0);
    assert!(waits.stdout.contains("--grace 0 does not wait"), "{}", waits.stdout);
    let told = scene.run(["prune", "--grace", "0", "--json"]).expect_code(0).json();
    assert!(told[0]["bytes_deleted"].as_u64().unwrap() > 3 << 20, "{told:?}");
    assert!(stored() + (3 << 20) < before);
    scene.run(["check", "--read-data"]).expect_code(0);
    scene.run(["restore", "latest", "out"]).expect_code(0);
}
