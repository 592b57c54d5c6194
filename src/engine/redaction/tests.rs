//! What is taken out, and what comes back.

use serde_json::json;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::encodings::lower_escapes;
use super::*;
use crate::model::{Health, StepId};

const SECRET: &str = "cAn?ry \"7/ü\"+x";

fn secrets() -> BTreeMap<String, String> {
    [("token".to_owned(), SECRET.to_owned())].into()
}

fn redaction() -> Redaction {
    Redaction::new(&secrets(), &["token".to_owned()], &[])
}

fn redacted(text: &str) -> String {
    let mut text = text.to_owned();
    redaction().told(&mut text);
    text
}

#[test]
fn a_secret_is_known_however_it_is_written() {
    assert_eq!(redacted(&format!("a {SECRET} b {SECRET}")), "a [secret token] b [secret token]");
    let json = json!({ "said": SECRET }).to_string();
    assert_eq!(redacted(&json), r#"{"said":"[secret token, encoded]"}"#);
    assert!(!redacted(&json!({ "body": json }).to_string()).contains("ry"));
    for url in
        ["cAn%3Fry%20%227%2F%C3%BC%22%2Bx", "cAn%3fry+%227%2f%c3%bc%22%2bx", "cAn?ry%20%227/%C3%BC%22+x"]
    {
        assert_eq!(
            redacted(&format!("http://h/?q={url}&r")),
            "http://h/?q=[secret token, encoded]&r",
            "{url}"
        );
    }
    for user in ["", "a:", "ab:", "abc:", "user:"] {
        for suffix in ["", "\n", "xyz"] {
            let plain = format!("{user}{SECRET}{suffix}");
            for text in [STANDARD_NO_PAD.encode(&plain), URL_SAFE_NO_PAD.encode(&plain)] {
                let got = redacted(&format!("Authorization: Basic {text}"));
                assert!(got.contains("[secret token, encoded]"), "{plain}: {got}");
            }
        }
    }
    assert!(!redacted("6341 6e 63416e3f727920 x").contains("secret"), "half of it is nothing");
    assert!(redacted("x63416E3F72792022372FC3BC222B78y").contains("[secret token, encoded]"));
}

#[test]
fn a_dump_shows_no_secret_beside_its_digits() {
    let secret = "Tr0ub4dor&3-Zx\"q/w+K";
    let redaction =
        Redaction::new(&[("token".to_owned(), secret.to_owned())].into(), &["token".to_owned()], &[]);
    let xxd = "00000000: 5472 3075 6234 646f 7226 332d 5a78 2271  Tr0ub4dor&3-Zx\"q\n\
               00000010: 2f77 2b4b 0a                             /w+K.\n";
    let hexdump = "00000000  54 72 30 75 62 34 64 6f  72 26 33 2d 5a 78 22 71  |Tr0ub4dor&3-Zx\"q|\n\
                   00000010  2f 77 2b 4b 0a                                    |/w+K.|\n00000015\n";
    let bytes = "00000000: 54 72 30 75 62 34 64 6F 72 26 33 2D 5A 78 22 71  Tr0ub4dor&3-Zx\"q\n\
                 00000010: 2F 77 2B 4B                                      /w+K\n";
    let od = "000000 54 72 30 75 62 34 64 6f 72 26 33 2d 5a 78 22 71\n000010 2f 77 2b 4b\n000014\n";
    let short = "00000000: 5472 3075 6234 646f  Tr0ub4do\n00000008: 7226 332d 5a78 2271  r&3-Zx\"q\n\
                 00000010: 2f77 2b4b            /w+K\n";
    for dump in [xxd, hexdump, bytes, od, short] {
        for (before, each) in [("before\n", ""), ("stdout: ", ""), ("", "2026-12-01T05:00:00 tcpdump:\t0x")] {
            let dump: String = dump.lines().map(|line| format!("{each}{line}\n")).collect();
            let mut told = format!("{before}{dump}after");
            redaction.told(&mut told);
            let left = told.to_lowercase();
            for part in ["Tr0u", "w+K", "5472", "54 72", "26 33", "2271", "2b 4b", "2b4b"] {
                assert!(!left.contains(&part.to_lowercase()), "{part}\n{told}");
            }
            assert!(told.starts_with(before) && told.ends_with("after"), "{told}");
        }
    }
    // what only looks like one is left alone
    let mut told = "12345678: 9  nothing of it\n20260921 12:00  noon".to_owned();
    let before = told.clone();
    redaction.told(&mut told);
    assert_eq!(told, before);
}

#[test]
fn a_text_that_ends_within_a_secret_loses_the_rest() {
    assert_eq!(redacted("stdout: cAn?ry \"7/"), "stdout: [secret token, cut]");
    assert_eq!(redacted("stdout: cAn?r…"), "stdout: [secret token, cut]…");
    assert_eq!(redacted("stdout: cAn"), "stdout: cAn");
    assert_eq!(redacted("it is `cAn?ry…`, not `b`"), "it is `[secret token, cut]…`, not `b`");
    assert_eq!(redacted("said: 63416e3f7279…; it failed"), "said: [secret token, cut]…; it failed");
    assert_eq!(redacted("put back on rtb-6341"), "put back on rtb-6341", "as much stands in any id");
}

/// The longest beginning of a form that the text holds.
fn left(text: &str, forms: &[Form]) -> usize {
    let holds = |f: &Form| (1..=f.text.len()).rev().find(|n| text.contains(f.text.get(..*n).unwrap_or("\0")));
    forms.iter().filter_map(holds).max().unwrap_or(0)
}

#[test]
fn keys_that_nobody_gave_and_users_of_urls_are_taken_out_of_what_people_read() {
    let key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    let held =
        [("AWS secret access key".to_owned(), key.to_owned()), ("password".to_owned(), SECRET.to_owned())];
    let redaction = Redaction::new(&secrets(), &names(), &held);
    let failed = |text: &str| {
        let (step, error) = (StepId::new("s"), text.to_owned());
        let event = Event::UndoFailed { step, target: None, error, attempt: 1 };
        let Event::UndoFailed { error, .. } = redaction.event(event) else { panic!() };
        error
    };
    assert_eq!(failed(&format!("env: {key}")), "env: [secret AWS secret access key]");
    assert_eq!(
        failed(&format!("?k={}", key.replace('/', "%2F"))),
        "?k=[secret AWS secret access key, encoded]"
    );
    assert_eq!(failed(&format!("env: {}…", &key[..20])), "env: [secret AWS secret access key, cut]…");
    assert_eq!(failed(SECRET), "[secret token]", "the parameter's own name");
    // without any secret, too
    let nothing = Redaction::new(&BTreeMap::new(), &[], &[]);
    for redaction in [&redaction, &nothing] {
        for (text, kept) in [
            ("GET https://me:hunter2@h/x failed", "GET https://**********@h/x failed"),
            ("postgres://me:hunt…", "postgres://*******…"),
            ("postgres://me:hunt…; it failed", "postgres://*******…; it failed"),
            ("http://h:80…", "http://h:80…"),
            ("http://[::1…", "http://[::1…"),
            ("http://h/a@b: x…", "http://h/a@b: x…"),
            ("me@h: https://h/", "me@h: https://h/"),
        ] {
            let mut told = text.to_owned();
            redaction.told(&mut told);
            assert_eq!(told, kept);
            redaction.told(&mut told);
            assert_eq!(told, kept, "and once more");
        }
    }
    // what is acted on later could not be put back
    let undo = json!({ "argv": ["curl", "http://me:hunter2@h/", key] });
    let event = Event::StepPrepared { step: StepId::new("s"), target: None, undo: undo.clone() };
    let Event::StepPrepared { undo: kept, .. } = redaction.event(event) else { panic!() };
    assert_eq!(kept, undo);
}

proptest::proptest! {
    #[test]
    fn wherever_a_text_is_cut_a_short_rest_of_the_secret_remains(
        secret in "[!-~üß ]{8,40}",
        user in "[a-z:]{0,6}",
        kind in 0_usize..9,
        at in 0_usize..400,
        behind in 0_usize..3,
    ) {
        proptest::prop_assume!(secret.trim() == secret && !secret.contains("  "));
        let redaction = Redaction::new(&[("pw".to_owned(), secret.clone())].into(), &["pw".to_owned()], &[]);
        let whole = format!("{user}{secret}");
        let hex: String = secret.bytes().map(|b| format!("{b:02x}")).collect();
        let mut forms: Vec<String> = vec![secret.clone()];
        forms.extend(encoded(&secret));
        let written = match kind {
            0 => STANDARD_NO_PAD.encode(&whole),
            1 => URL_SAFE_NO_PAD.encode(&whole),
            2 => hex.to_uppercase(),
            3 => hex,
            4 => json!({ "a": json!({ "b": secret }).to_string() }).to_string(),
            5 => json!({ "b": secret }).to_string(),
            n => forms[(n * at) % forms.len()].clone(),
        };
        let text = format!("#### {written} ####");
        let end = (0..=at.min(text.len())).rev().find(|n| text.is_char_boundary(*n)).unwrap_or(0);
        let mut text = format!("{}{}", &text[..end], ["", "…", "…`; and it failed"][behind]);
        redaction.told(&mut text);
        let left = left(&text, &redaction.all.forms);
        proptest::prop_assert!(left < SHORTEST_ENCODED_CUT, "{left} of {secret:?} in {text:?}");
    }
}

fn names() -> Vec<String> {
    vec!["token".to_owned()]
}

#[test]
fn what_is_acted_on_comes_back_as_it_was() {
    let base64 = STANDARD_NO_PAD.encode(format!("user:{SECRET}"));
    let undo = json!({ "env": {
        "A": SECRET,
        "B": "ends in cAn?ry",
        "C": format!("x{base64}"),
        "D": json!({ "json": SECRET }).to_string(),
        "E": format!("[secret token] [secret :] [secret [secret token, form 1]{SECRET}[secret"),
    } });
    let event = Event::StepPrepared { step: StepId::new("s"), target: None, undo: undo.clone() };
    let Event::StepPrepared { undo: mut kept, .. } = redaction().event(event) else { panic!() };
    assert_eq!(kept["env"]["A"], "[secret token]");
    let written = kept.to_string();
    assert!(!written.contains("ry \\\"7") && !written.contains(&base64[10..20]), "{written}");
    reveal(&mut kept, &secrets(), &names()).unwrap();
    assert_eq!(kept, undo);
}

#[test]
fn what_cannot_be_put_back_is_not_acted_on() {
    let of = |text: &str, secrets: &BTreeMap<String, String>| revealed(text, secrets, &names());
    let known = secrets();
    let why = of("-p[secret token]", &BTreeMap::new()).unwrap_err();
    assert_eq!(why, "it holds the secret `token`, which was not given");
    // as version 0.1.0 wrote it
    for mark in ["[secret token, encoded]", "[secret token, cut]", "[secret token, form 99]"] {
        assert!(of(mark, &known).unwrap_err().contains("not on record"), "{mark}");
    }
    for text in ["[secret other]", "[secret ", "[secret token"] {
        assert_eq!(of(text, &known).as_deref(), Ok(text));
    }
    assert_eq!(revealed("[secret token]", &known, &[]).as_deref(), Ok("[secret token]"));
}

#[test]
fn nothing_that_the_state_is_folded_from_is_touched() {
    let word = |w: &str| Redaction::new(&[("pw".to_owned(), w.to_owned())].into(), &["pw".to_owned()], &[]);
    let step = StepId::new("restore");
    let target = Some("shop-orders".to_owned());
    let ready = Event::StepReady {
        step: step.clone(),
        target: target.clone(),
        outputs: [("identifier".to_owned(), "shop-orders-2".to_owned())].into(),
        notes: vec!["shop-orders is there".to_owned()],
    };
    let Event::StepReady { step: s, target: t, outputs, notes } = word("orders").event(ready) else {
        panic!()
    };
    assert_eq!((s, t), (step, target));
    assert_eq!(outputs["identifier"], "shop-[secret pw]-2");
    assert_eq!(notes, ["shop-[secret pw] is there"]);
    for event in [
        Event::Stage { stage: crate::model::Stage::Recovery },
        Event::Holding { targets: vec!["recovery".to_owned()] },
        Event::StepStarted { step: StepId::new("recovery"), targets: vec![Some("recovery".to_owned())] },
    ] {
        assert_eq!(word("recovery").event(event.clone()), event);
    }
}

#[test]
fn a_note_is_kept_out_while_a_secret_is_unknown() {
    let names = ["other".to_owned(), "token".to_owned()];
    let half = Redaction::new(&[("other".to_owned(), "known-value".to_owned())].into(), &names, &[]);
    let note = |text: &str| Event::Confirmed {
        step: StepId::new("s"),
        by: "a@b".to_owned(),
        note: text.to_owned(),
        simulated: false,
        request: None,
    };
    let Event::Confirmed { note: kept, .. } = half.event(note("anything")) else { panic!() };
    assert_eq!(kept, "[kept out: it could hold the secret `token`, which was not given]");
    assert_eq!(half.event(note("")), note(""));
    assert_eq!(redaction().event(note("anything")), note("anything"));
    // nor is what a probe read, which the host may have been told
    let at = crate::engine::testing::stamp(1);
    let seen = |text: &str| Event::Observed {
        probe: "p".to_owned(),
        health: Health::Healthy,
        seen: text.to_owned(),
        sent: at,
        answered: at,
        source_at: None,
    };
    let kept = "[kept out: it could hold the secret `token`, which was not given]";
    assert_eq!(half.event(seen("200, body: anything")), seen(kept));
    assert_eq!(half.event(seen("")), seen(""));
    assert_eq!(redaction().event(seen("200")), seen("200"));
}

mod spellings;

#[test]
fn a_secret_in_another_case_is_taken_out_and_what_is_acted_on_comes_back() {
    let secret = "kQ8v-Zp/Lr0é";
    let given = BTreeMap::from([("pw".to_owned(), secret.to_owned())]);
    let held = [("AWS session token".to_owned(), "IQoJb3JpZ2luX2Vj".to_owned())];
    let redaction = Redaction::new(&given, &["pw".to_owned()], &held);
    for (said, kept) in [
        ("no header x-kq8v-zp/lr0é", "no header x-[secret pw, encoded]"),
        ("KQ8V-ZP/LR0É", "[secret pw, encoded]"),
        ("Kq8V-zP/lR0é", "[secret pw, encoded]"),
        ("6B5138762d5a702F4c7230C3a9", "[secret pw, encoded]"),
        ("?t=kq8v-ZP%2fLR0%c3%a9", "?t=[secret pw, encoded]"),
        (
            "x-amz-security-token: iqojb3jpz2lux2vj",
            "x-amz-security-token: [secret AWS session token, encoded]",
        ),
        ("it said KQ8V-z…", "it said [secret pw, cut]…"),
    ] {
        let mut told = said.to_owned();
        redaction.told(&mut told);
        assert_eq!(told, kept);
    }
    let record = json!({ "argv": ["kq8v-zp/lr0é", "KQ8V-ZP/LR0É", secret] });
    let mut kept = record.clone();
    redaction.value(&mut kept, For::Acting);
    assert!(!kept.to_string().to_lowercase().contains("kq8v"), "{kept}");
    reveal(&mut kept, &given, &["pw".to_owned()]).unwrap();
    assert_eq!(kept, record);
}

#[test]
fn a_record_that_could_not_be_kept_is_told_before_it_is_written() {
    let key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    let held = [("AWS secret access key".to_owned(), key.to_owned())];
    let redaction = Redaction::new(&secrets(), &names(), &held);
    for kept in [
        json!({ "a": [SECRET, format!("x{SECRET}"), "https://h/a@b", "ssh://git@h/x", "[secret token]"] }),
        json!(7),
    ] {
        assert!(!redaction.is_lost(&kept), "{kept}");
    }
    for lost in [
        json!({ "tags": { "key": key } }),
        json!([format!("k={}", key.to_lowercase())]),
        json!(["https://me:hunter2@h/"]),
    ] {
        assert!(redaction.is_lost(&lost), "{lost}");
    }
}

#[test]
fn an_output_with_what_nobody_gave_is_masked_and_not_acted_on() {
    let held = [("AWS session token".to_owned(), "IQoJb3JpZ2luX2Vj".to_owned())];
    let redaction = Redaction::new(&secrets(), &names(), &held);
    let outputs =
        [("url", "https://me:hunter2@h/"), ("said", "t=IQoJb3JpZ2luX2Vj"), ("own", SECRET), ("id", "i-1")];
    let outputs = outputs.map(|(name, said)| (name.to_owned(), said.to_owned())).into();
    let event = Event::StepReady { step: StepId::new("s"), target: None, outputs, notes: vec![] };
    let Event::StepReady { outputs, .. } = redaction.event(event) else { panic!() };
    assert_eq!(outputs["url"], "https://**********@h/");
    assert_eq!(outputs["said"], "t=[secret AWS session token]");
    for names in [names(), vec![]] {
        let refused = revealed(&outputs["said"], &secrets(), &names).unwrap_err();
        assert!(refused.contains("AWS session token, which is not on record"), "{refused}");
    }
    assert_eq!(revealed(&outputs["own"], &secrets(), &names()).unwrap(), SECRET);
    assert_eq!(outputs["id"], "i-1");
}
