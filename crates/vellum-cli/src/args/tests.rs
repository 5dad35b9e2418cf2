use super::*;
use clap::CommandFactory as _;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn the_contract_parses() {
    for line in [
        "vellum -r /r init --chunker gear --level 0 --parity off",
        "vellum init --chunker window",
        "vellum init --repository /r --key-file /k",
        "vellum try /a /b",
        "vellum backup /a --tag x,y --tag z --host h --time 2026-11-21T10:00:00Z --exclude *.o --exclude-file f",
        "vellum backup a --iexclude G --exclude-if-present N --exclude-caches --exclude-larger-than 10M -x",
        "vellum backup --files-from - --class /a=private --dry-run --force --skip-if-unchanged",
        "vellum backup --stdin --stdin-filename dump.sql",
        "vellum backup --stdin-filename x --from-command -- pg_dump --all",
        "vellum repair index",
        "vellum repair packs --json",
        "vellum repair snapshots",
        "vellum snapshots --host H --tag T --path P --latest 3 --json",
        "vellum ls latest:/etc -l --recursive",
        "vellum restore latest~2:/home target --include a --exclude b --overwrite if-changed --delete --verify",
        "vellum restore 2026-11-21 target --dry-run --sparse --json -r x",
        "vellum forget",
        "vellum forget latest~3 abcd 2026-11-21 --dry-run",
        "vellum forget --keep-last 1 --keep-hourly 24 --keep-daily 7 --keep-weekly 5 --keep-monthly -1",
        "vellum forget --keep-yearly unlimited --keep-within 1y5m7d2h --keep-tag a,b --keep-tag c --group-by host",
        "vellum forget --keep-within-daily 30d --keep-within-hourly 24h --host H --tag T --path P -n --explain",
        "vellum forget --keep-last 3 --timezone Europe/Berlin --allow-empty --across-devices --group-by=",
        "vellum forget --keep-last 3 --prune --max-unused 10% --max-repack 5G --grace 7d --dry-run",
        "vellum check --read-data --restore-test 5",
        "vellum check --sample 2.5%",
        "vellum check --sample 3/4",
        "vellum check --sample 1.5GiB",
        "vellum prune --max-unused 2.5% --max-repack 10G --grace 0 --dry-run",
        "vellum prune --max-unused unlimited --grace 36h",
        "vellum check --accept-history --head 7qz4-0m3k-x9tb",
        "vellum restore latest target --head 7QZ40M3KX9TB",
        "vellum key list -r x",
        "vellum key add --key-file F --label me --password-file p",
        "vellum key remove abcd",
        "vellum key passwd --new-password-file F",
        "vellum recovery show --new",
        "vellum recovery check",
        "vellum stats latest abcd --json",
        "vellum cat config",
        "vellum cat tree latest:/etc",
        "vellum bench",
        "vellum bench chunker seal compress storage -r /r --quick --json",
        "vellum completions zsh",
    ] {
        parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

#[test]
fn nonsense_is_refused() {
    for line in [
        "vellum",
        "vellum frobnicate",
        "vellum init --level 23",
        "vellum init --chunker rabin",
        "vellum backup --stdin /a",
        "vellum backup --from-command",
        "vellum backup /a --time yesterdayish",
        "vellum backup /a --exclude-larger-than lots",
        "vellum forget --keep-last -2",
        "vellum forget --keep-last many",
        "vellum forget --keep-within 3",
        "vellum forget --keep-last 1 --group-by user",
        "vellum forget --keep-last 1 --grace 7d",
        "vellum forget --keep-last 1 --max-unused 3%",
        "vellum forget --keep-last 1 --prune --grace 1y",
        "vellum forget --keep-last 1 --prune --max-unused 101%",
        "vellum check --sample 0%",
        "vellum check --sample 0G",
        "vellum check --sample NaN",
        "vellum check --sample 101",
        "vellum check --sample 5/4",
        "vellum check --sample 0/4",
        "vellum check --read-data --sample 5%",
        "vellum prune --max-unused 101%",
        "vellum prune --grace soon",
        "vellum restore nonsense! target",
        "vellum restore latest",
        "vellum snapshots --threads 0",
        "vellum snapshots -q -v",
        "vellum try",
        "vellum bench everything",
        "vellum bench --quick=3",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn global_flags_stand_anywhere() {
    for line in ["vellum --json -r /r snapshots", "vellum snapshots -r /r --json", "vellum -r /r snapshots --json"] {
        let cli = parse(line).unwrap();
        assert!(cli.global.json && cli.global.repository.as_deref() == Some("/r".as_ref()), "{line}");
    }
    let cli = parse("vellum --key-file outer key add --key-file inner").unwrap();
    assert_eq!(cli.global.key_file, Some("inner".into()));
}

/// Whoever comes from restic has these in his fingers, and in his scripts.
#[test]
fn spellings_of_restic_mean_the_same() {
    let restore = |line| match parse(line).expect(line).verb {
        Verb::Restore(args) => args.target().to_owned(),
        verb => panic!("{verb:?}"),
    };
    assert_eq!(restore("vellum restore latest --target out"), restore("vellum restore latest out"));
    for line in ["vellum restore latest", "vellum restore latest out --target out"] {
        assert!(parse(line).is_err(), "{line}");
    }
    let parsed = parse("vellum --repo /r snapshots").expect("an alias");
    assert_eq!(parsed.global.repository.expect("it is given"), "/r");
}
