#!/usr/bin/env python3
"""Puts faults into the engine, one at a time, and checks that the simulator catches each.

A copy of the tree is changed, never the tree itself. Usage: faults.py [--histories N] [NAME …]
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Each with the file in src/engine, the text to replace (it must be there exactly once), and the text that replaces it.
FAULTS = {
    "a change is sent before its decision is synced": (
        "journal.rs",
        "if self.synced >= seq {",
        "if self.written >= seq {",
    ),
    "a change is sent without asking the journal": (
        "journal.rs",
        "if self.state != State::On || self.hangs(PATIENCE, now) {",
        "if true || self.state != State::On || self.hangs(PATIENCE, now) {",
    ),
    "settle returns before its record is written": (
        "journal.rs",
        "self.state != State::On || self.written >= seq.max(self.base)",
        "self.state != State::On || self.last >= seq.max(self.base)",
    ),
    "decisions are not recorded": (
        "calls.rs",
        "if self.journal.keeps_decisions {",
        "if self.journal.keeps_decisions && uid.get() % 5 > 0 {",
    ),
    "a new journal counts as complete": (
        "claim.rs",
        "            self.journal.lacks_everything();\n",
        "",
    ),
    "a new journal does not get what was decided before": (
        "claim.rs",
        "        if differs {\n            self.rewrite_journal();",
        "        if false {\n            self.rewrite_journal();",
    ),
    "a rewrite forgets the batch under way": (
        "decisions.rs",
        "for batch in self.lists().chain(self.waiting.iter().map(|waiting| &waiting.batch)) {\n            records",
        "for batch in self.unverified.iter().chain(self.waiting.iter().map(|waiting| &waiting.batch)) {\n            records",
    ),
    "what an earlier process left is dropped": (
        "decisions.rs",
        "self.verify_all(&action, step, copy, &messages, CHUNK);",
        "let _ = (step, copy, messages, action);",
    ),
    "what an earlier process left is delivered again": (
        "claim.rs",
        "            self.decided.insert(pending.uid);\n",
        "",
    ),
    "decisions are carried out under another UIDVALIDITY": (
        "claim.rs",
        ".partition(|pending| pending.uid_validity == current);",
        ".partition(|pending| pending.uid_validity.get() > 0 || pending.uid_validity == current);",
    ),
    "decisions stay when UIDVALIDITY changes": (
        "link.rs",
        "            self.decisions.clear();\n",
        "",
    ),
    "nothing is compared after a lost connection": (
        "verify.rs",
        "match seen.likeness(message.identity) {",
        "match Likeness::Same {",
    ),
    "only dates are compared after a lost connection": (
        "verify.rs",
        "match (decided.mark, seen.mark) {",
        "match (Mark::Unknown, seen.mark) {",
    ),
    "a message with nothing to compare counts as the same": (
        "verify.rs",
        "(Mark::Unknown | Mark::Nothing, _) | (Mark::Fields(_), _) => Likeness::Unclear,",
        "(Mark::Unknown | Mark::Nothing, _) | (Mark::Fields(_), _) => Likeness::Same,",
    ),
    "one odd answer makes a decision void": (
        "verify.rs",
        "Likeness::Other if self.before != Some(now) => Likeness::Unclear,",
        "Likeness::Other if false => Likeness::Unclear,",
    ),
    "new decisions about messages of a lost connection are not compared": (
        "calls.rs",
        "self.decisions.add(action, message, self.unsure.contains(uid), self.now);",
        "self.decisions.add(action, message, false, self.now);",
    ),
    "the batch under way is dropped at a cut": (
        "decisions.rs",
        "if let Some(mut batch) = self.under_way.take() {",
        "if let Some(mut batch) = self.under_way.take().filter(|_| false) {",
    ),
    "waiting batches are not compared after a cut": (
        "decisions.rs",
        "(batch.unverified, batch.known, batch.on_next_link) = (true, false, None);",
        "(batch.unverified, batch.known, batch.on_next_link) = (false, false, None);",
    ),
    "a refused batch counts as recognised on the next connection": (
        "decisions.rs",
        "(batch.unverified, batch.known, batch.on_next_link) = (true, false, None);",
        "(batch.unverified, batch.on_next_link) = (true, None);",
    ),
    "changes without a proof are forgotten at a cut": (
        "decisions.rs",
        "        self.unverified.append(&mut self.unproven);\n",
        "        self.unproven.clear();\n",
    ),
    "a copy whose target is looked at is dropped at a cut": (
        "decisions.rs",
        "        self.unverified.extend(self.copying.take());\n",
        "        self.copying = None;\n",
    ),
    "OK to a change counts as done": (
        "settle.rs",
        "if let Some(done) = batch.split_off(gone) {",
        "if let Some(done) = batch.split_off(&batch.uids()) {",
    ),
    "messages that are still there count as done": (
        "settle.rs",
        "if let Some(there) = asked.split_off(&present.found) {",
        "if let Some(there) = asked.split_off(&UidSet::new()) {",
    ),
    "no answer to a SEARCH counts as nothing": (
        "verify.rs",
        "answer.status == Status::Ok && !self.answered && !std::mem::replace(&mut self.listing, true)",
        "answer.status == Status::Ok && false && !std::mem::replace(&mut self.listing, true)",
    ),
    "a refusal to say which messages are there counts as gone": (
        "verify.rs",
        "let there = if answer.status == Status::Ok { present.found } else { asked.clone() };",
        "let there = present.found;",
    ),
    "a change without effect is not tried again": (
        "settle.rs",
        "let batch = Batch { step, on_next_link: Some(self.links), ..batch };",
        "let batch = Batch { step, on_next_link: Some(self.links), messages: Vec::new(), ..batch };",
    ),
    "originals are deleted before the copy is certain": (
        "copy.rs",
        "_ => self.decisions.uncertain_copies.push(batch),",
        "_ => self.copies_made(batch),",
    ),
    "COPY is repeated without a look into its target": (
        "verify.rs",
        "Copy::Sent(_) => self.decisions.uncertain_copies.push(batch),",
        "Copy::Sent(_) => self.decisions.verified(Batch { copy: Copy::NotSent, ..batch }, fewer, self.now),",
    ),
    "any new message of the target counts as a copy": (
        "copy.rs",
        "message.mark() == copy.identity.mark && (dates || sizes)",
        "message.mark() != Mark::Nothing || dates || sizes",
    ),
    "COPY is sent before it is recorded": (
        "settle.rs",
        "let seq = seq.max(batch.seq());",
        "let seq = batch.seq();\n        let _ = Seq::max;",
    ),
    "commands go to the target while it is selected": (
        "copy.rs",
        "return self.session().is_some_and(|session| session.elsewhere);",
        "return false;",
    ),
    "a decided message is delivered from the buffer": (
        "calls.rs",
        "Some(kept) if self.decided.contains(kept.uid) => decided.push(kept.uid),",
        "Some(kept) if false => decided.push(kept.uid),",
    ),
    "messages are dropped when a FETCH is cut": (
        "progress.rs",
        "self.waiting.extend(asked.filter(|uid| !self.suspects.contains_key(uid)));",
        "self.waiting.extend(asked.filter(|uid| !self.suspects.contains_key(uid)).take(1));",
    ),
    "messages of which the server told no size are dropped": (
        "fetch.rs",
        "progress.silence(&unanswered, &answer.line);",
        "let _ = unanswered;",
    ),
    "messages that are refused for now are dropped": (
        "progress.rs",
        "            not_now.again.push_back(missing);\n",
        "",
    ),
    "a refused message holds up all others": (
        "progress.rs",
        "            if alone {\n                self.suspects.remove(&first);\n                return Verdict::Message(first);\n            }",
        "",
    ),
    "what the server refused once is never tried again": (
        "decisions.rs",
        "self.waiting.push_back(Waiting { batch, not_before: now + pause, refusal: Some(refusal) });",
        "let _ = (batch, refusal, pause, now);",
    ),
    "a message at which the connection is lost is asked for without end": (
        "progress.rs",
        "let given_up = *lost == LOST_ALONE;",
        "let given_up = *lost == LOST_ALONE + 500_000;",
    ),
    "void decisions stay in the count": (
        "verify.rs",
        "        self.decided.subtract(uids);\n        self.decisions.forget(uids.len() as usize);\n",
        "        self.decided.subtract(uids);\n",
    ),
    "messages that are gone are not crossed out": (
        "settle.rs",
        "        self.cross_out(uids);\n",
        "",
    ),
    "another folder's numbers count": (
        "copy.rs",
        "if before.uid_validity != now.uid_validity || now.next < before.next {",
        "if now.next < before.next {",
    ),
    "a change that waits for the disk outlives its connection": (
        "verify.rs",
        "        self.waiting_change = None;\n",
        "",
    ),
    "what was read of another message stays in the buffer": (
        "verify.rs",
        "self.queue.remove(&uids.common(&self.unsure));",
        "self.queue.remove(&UidSet::new());",
    ),
    "the buffer is not looked at": (
        "window.rs",
        "if octets <= free && octets <= large(buffer) {",
        "if octets <= free || octets > 0 {",
    ),
    "commands in flight are not limited": (
        "plan.rs",
        "if self.in_flight() >= depth || self.session().is_none() {",
        "if self.in_flight() >= depth + 1 || self.session().is_none() {",
    ),
    "callers of an older fetch wait for ever": (
        "calls.rs",
        "Waiting::Next(_) => self.reply(id, Reply::Next(Err(Problem::NewerFetch))),",
        "Waiting::Next(_) if false => self.reply(id, Reply::Next(Err(Problem::NewerFetch))),",
    ),
    "settle waits for a disk that hangs": (
        "calls.rs",
        "|| self.now.since(since) >= WRITE\n",
        "|| self.now.since(since) >= WRITE * 9\n",
    ),
    "closing waits for the server": (
        "plan.rs",
        "            && until <= self.now\n",
        "            && until + self.settings.close <= self.now\n",
    ),
    "a removed target is not made again": (
        "settle.rs",
        "            Status::NoFolder if !batch.created => {\n                self.forget_folder(&batch);",
        "            Status::NoFolder if !batch.created => {",
    ),
    "no other connection follows for what had no effect": (
        "plan.rs",
        "if matches!(self.link, Link::Down) && self.phase != Phase::Closed {",
        "if false {",
    ),
    "a throttling server is not waited for": (
        "plan.rs",
        "if self.leaves_alone() || self.pause_until.is_some() {\n            return;",
        "if self.leaves_alone() && self.in_flight() > 9 {\n            return;",
    ),
    "a lost journal counts as working": (
        "claim.rs",
        "                self.journal.failed();\n                self.journal_failed(failure, false);",
        "                self.journal_failed(failure, false);",
    ),
}


def run(tree, histories):
    """Plays histories in a tree. Returns the exit code and what was printed."""
    command = ["cargo", "test", "--quiet", "--locked", "--profile", "simulation", "--test", "simulation", "--", "--nocapture", "--test-threads=1"]
    environment = dict(os.environ, HISTORIES=str(histories), SHRINK="0", FAILURES="1", SEED="1")
    result = subprocess.run(command, cwd=tree, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return result.returncode, result.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--histories", type=int, default=20_000)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a part of the names of the faults to try")
    arguments = parser.parse_args()
    wanted = [name for name in FAULTS if not arguments.names or any(part in name for part in arguments.names)]
    missed = []
    with tempfile.TemporaryDirectory(prefix="faults-") as directory:
        tree = pathlib.Path(directory) / "tree"
        shutil.copytree(ROOT, tree, symlinks=True, ignore=shutil.ignore_patterns("target", ".git", "node_modules"))
        os.environ.setdefault("CARGO_TARGET_DIR", str(ROOT / "target" / "faults"))
        code, output = run(tree, 500)
        if code:
            sys.exit("Without a fault it fails already:\n" + output[-2_000:])
        for name in wanted:
            file, old, new = FAULTS[name]
            path = tree / "src" / "engine" / file
            text = path.read_text()
            if text.count(old) != 1:
                missed.append(name)
                print(f"STALE   {name}: the text is there {text.count(old)} times", flush=True)
                continue
            path.write_text(text.replace(old, new))
            code, output = run(tree, arguments.histories)
            path.write_text(text)
            seeds = [line for line in output.splitlines() if line.startswith("seed ") or line.endswith("... FAILED")]
            if code and seeds:
                print(f"caught  {name}: {seeds[-1][:110]}", flush=True)
            else:
                missed.append(name)
                errors = [line for line in output.splitlines() if line.startswith("error")]
                print(f"{'BROKEN ' if errors else 'MISSED '} {name} {errors[:1]}", flush=True)
    print(f"{len(wanted) - len(missed)} of {len(wanted)} faults are caught")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
