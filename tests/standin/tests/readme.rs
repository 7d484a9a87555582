//! What README.md shows is what the stand-in reads.

use um_standin::{Change, Fault, Scenario};

#[test]
fn every_fault_in_the_readme_is_one() {
    let faults = examples("{\"on\":");
    assert!(faults.len() > 25, "{}", faults.len());
    for fault in faults.iter().filter(|fault| !fault.contains('…')) {
        serde_json::from_str::<Fault>(fault).unwrap_or_else(|error| panic!("{fault}: {error}"));
    }
}

#[test]
fn every_change_in_the_readme_is_one() {
    let changes = README.split_once("Changes; each but").unwrap().1.split("More of what").next().unwrap();
    let mut count = 0;
    for line in changes.lines().filter_map(|line| line.strip_prefix("    ")) {
        serde_json::from_str::<Change>(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        count += 1;
    }
    assert_eq!(count, 9);
}

#[test]
fn the_scenario_in_the_readme_is_one_and_its_values_are_the_defaults() {
    let block = README.split_once("## A scenario").unwrap().1.split("\n(A scenario file").next().unwrap();
    let json: Vec<&str> = block
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect();
    let shown = Scenario::from_json(&json.join("\n")).unwrap();
    let default = Scenario::default();
    assert_eq!(shown.tenant, default.tenant);
    assert_eq!(format!("{:?}", shown.clients), format!("{:?}", default.clients));
    assert_eq!(format!("{:?}", shown.token), format!("{:?}", default.token));
    assert_eq!(format!("{:?}", shown.dialect), format!("{:?}", default.dialect));
    assert_eq!(format!("{:?}", shown.tls), format!("{:?}", default.tls));
    let mut mailbox = shown.mailboxes[0].clone();
    assert_eq!(mailbox.folders.remove(0).mails.len(), 3);
    assert_eq!(format!("{mailbox:?}"), format!("{:?}", default.mailboxes[0]));
}

/// Code in backticks, and indented lines, that begin so.
fn examples(start: &str) -> Vec<String> {
    let inline = README.split('`').filter(|piece| piece.starts_with(start)).map(str::to_owned);
    let lines = README.lines().filter_map(|line| line.strip_prefix("    "));
    inline.chain(lines.filter(|line| line.starts_with(start)).map(str::to_owned)).collect()
}

const README: &str = include_str!("../README.md");
