//! The PDF of made-up runs, read back from the pages that typst laid out and from the file's bytes.

use typst::layout::{Frame, FrameItem};

use super::*;
use crate::evidence::tests::{made_up, record_of};
use crate::model::World;
use crate::report::tests::rows;
use crate::view::tests::example;

fn record(world: World) -> Record {
    record_of(&example(world))
}

fn files() -> Vec<Attachment<'static>> {
    vec![
        ("report.json".to_owned(), "application/json", b"{}\n".to_vec()),
        ("journal.jsonl".to_owned(), "application/jsonl", b"{\"seq\":1}\n".to_vec()),
    ]
}

/// The words on each page, in the order in which they were set, without any space.
fn pages(record: &Record) -> Vec<String> {
    fn read(frame: &Frame, out: &mut String) {
        for (_, item) in frame.items() {
            match item {
                FrameItem::Group(group) => read(&group.frame, out),
                FrameItem::Text(text) => out.extend(text.text.chars().filter(|c| !c.is_whitespace())),
                _ => {}
            }
        }
    }
    let document = typeset(record, &[], Letters::Known).expect("it is set");
    document
        .pages()
        .iter()
        .map(|page| {
            let mut out = String::new();
            read(&page.frame, &mut out);
            out
        })
        .collect()
}

fn squeezed(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

fn holds(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|w| w == needle.as_bytes())
}

#[test]
fn a_pdf_that_says_what_it_conforms_to() {
    let pdf = report(&record(World::Aws), &[]).expect("a PDF");
    assert!(pdf.starts_with(b"%PDF-1."));
    // XMP is not compressed in PDF/A
    for claim in
        ["<pdfaid:part>3</pdfaid:part>", "<pdfaid:conformance>A</pdfaid:conformance>", "pdfuaid:part"]
    {
        assert!(holds(&pdf, claim), "{claim}");
    }
}

#[test]
fn the_same_run_gives_the_same_bytes_and_another_does_not() {
    let first = report(&record(World::Aws), &files()).expect("a PDF");
    typst::comemo::evict(0);
    let second = report(&record(World::Aws), &files()).expect("a PDF");
    assert!(first == second, "two PDFs of one record differ");
    let mut others = files();
    others[1].2.push(b'x');
    assert!(first != report(&record(World::Aws), &others).expect("a PDF"));
}

#[test]
fn the_document_is_dated_by_the_end_of_the_run() {
    let record = record(World::Aws);
    let end = record.identity.finished_at.expect("it is finished");
    let pdf = report(&record, &[]).expect("a PDF");
    assert!(holds(&pdf, &end.format("%Y-%m-%dT%H:%M:%S").to_string()));
}

#[test]
fn attachments_are_in_the_file_under_their_names_and_roles() {
    let pdf = report(&record(World::Aws), &files()).expect("a PDF");
    for name in ["report.json", "journal.jsonl"] {
        assert!(holds(&pdf, name), "{name}");
    }
    let without = report(&record(World::Aws), &[]).expect("a PDF");
    assert!(!holds(&without, "journal.jsonl"));
}

#[test]
fn a_name_that_is_a_path_is_refused() {
    for name in ["../report.json", "a/b", "", ".hidden", "a b", "x\u{202e}nosj"] {
        let bad = vec![(name.to_owned(), "application/json", Vec::new())];
        assert!(matches!(report(&record(World::Aws), &bad), Err(PdfError::Attachment(_))), "{name:?}");
    }
    let twice = [files(), files()].concat();
    assert!(matches!(report(&record(World::Aws), &twice), Err(PdfError::Attachment(_))));
}

#[test]
fn the_pages_say_what_the_other_reports_say() {
    let (_, record) = made_up().into_iter().find(|(name, _)| *name == "missed").expect("it is made up");
    let text: String = pages(&record).concat();
    let rows = rows(&record);
    assert!(rows.len() > 50, "{}", rows.len());
    for row in rows {
        for cell in &row {
            assert!(text.contains(&squeezed(cell)), "{cell} of {row:?} is not in report.pdf");
        }
    }
}

#[test]
fn every_page_names_the_run_the_page_and_the_world() {
    let record = record(World::Sim);
    let pages = pages(&record);
    assert!(pages.len() > 2);
    let line = squeezed(&crate::report::world_line(World::Sim, None).expect("off AWS"));
    for (n, page) in pages.iter().enumerate() {
        assert!(page.contains(&line), "page {} does not name the world: {page}", n + 1);
        assert!(page.contains(&squeezed(record.identity.run.as_str())), "page {} has no run", n + 1);
        assert!(page.contains(&format!("page{}of{}", n + 1, pages.len())), "page {} has no number", n + 1);
    }
}

#[test]
fn on_aws_no_page_says_otherwise() {
    assert!(pages(&record(World::Aws)).iter().all(|page| !page.contains("leaveseverycontrol")));
}

#[test]
fn the_first_page_answers_what_everybody_asks() {
    let record = record(World::Aws);
    let first = &pages(&record)[0];
    for word in
        ["Verdict", "RecoverytimeRTO", "DatalossRPO", "Leftbehind", "Whatwasfound", "When", "By", "Run"]
    {
        let word = word.replace("RTO", "(RTO)").replace("RPO", "(RPO)");
        assert!(first.contains(&word), "{word} is not on the first page: {first}");
    }
    assert!(first.contains(&squeezed(&crate::report::clean(&record.identity.title))));
}

#[test]
fn text_from_elsewhere_stays_text() {
    let mut record = record(World::Aws);
    let hostile = "#read(\"/etc/passwd\") *bold* $x^2$ _i_ `raw` <label> @ref \\ // no = = heading #import \"@preview/a:1.0.0\"";
    record.identity.title = hostile.to_owned();
    record.identity.description = format!("{hostile} \u{7}\u{1b}[31m\u{202e}\u{200b}");
    record.result.reasons = vec![hostile.to_owned()];
    let all = pages(&record).concat();
    assert!(all.matches(&squeezed(hostile)).count() >= 3, "{all}");
    assert!(!all.contains('\u{1b}') && !all.contains('\u{202e}') && !all.contains('\u{200b}'));
    report(&record, &[]).expect("it becomes a PDF all the same");
}

#[test]
fn letters_without_a_glyph_are_spelled_and_said_so() {
    let mut record = record(World::Aws);
    record.identity.description = "by 山田 \u{e000} a\u{301} 👩‍👩‍👧 עברית ქართული हिन्दी é ß Ж λ → ✓".to_owned();
    let all = pages(&record).concat();
    for spelled in ["[U+5C71][U+7530]", "[U+E000]", "a[U+0301]", "é", "ß", "Ж", "λ", "bynumber"] {
        assert!(all.contains(spelled), "{spelled}: {all}");
    }
    report(&record, &[]).expect("it becomes a PDF all the same");
}

#[test]
fn a_run_of_ten_thousand_moments_is_cut_and_says_so() {
    let mut record = record(World::Aws);
    let one = record.run.moments[0].clone();
    record.run.moments = (0..10_000)
        .map(|n| {
            let mut moment = one.clone();
            moment.what = format!("moment-{n}-end");
            moment
        })
        .collect();
    let all = pages(&record).concat();
    assert!(all.contains("400of10000shown"), "the cut is not mentioned");
    for (what, there) in [("moment-0-end", true), ("moment-9999-end", true), ("moment-5000-end", false)] {
        assert_eq!(all.contains(what), there, "{what}");
    }
}

#[test]
fn an_unfinished_run_without_a_line_has_a_pdf_too() {
    report(&record_of(&[]), &[]).expect("a PDF");
}

#[test]
fn each_picture_stands_over_its_own_caption() {
    let record = record(World::Sim);
    let paper = serde_json::to_value(paper::paper(&record, &[])).expect("JSON");
    let mut seen = 0;
    let later = paper["sections"].as_array().into_iter().flatten().flat_map(|s| s["pieces"].as_array());
    // the clock's stands on the first page
    assert_eq!(paper["picture"]["file"], paper::picture_file("clock"));
    for piece in [&paper["picture"]].into_iter().chain(later.flatten()) {
        if piece["type"] == "picture" {
            let its =
                pictures::all(&record).into_iter().find(|p| piece["title"] == *p.title).expect("a picture");
            assert_eq!(piece["file"], paper::picture_file(its.name));
            seen += 1;
        }
    }
    assert_eq!(seen, pictures::all(&record).len());
}

#[test]
fn nothing_runs_over_the_right_margin() {
    fn furthest(frame: &Frame, from: f64) -> f64 {
        let ends = frame.items().map(|(at, item)| {
            let x = from + at.x.to_mm();
            match item {
                FrameItem::Group(group) => furthest(&group.frame, x),
                FrameItem::Text(text) => x + text.width().to_mm(),
                _ => 0.0,
            }
        });
        ends.fold(0.0, f64::max)
    }
    let mut record = record(World::Sim);
    let long = "a1".repeat(300);
    record.identity.title.clone_from(&long);
    record.result.reasons = vec!["RestoreDBInstanceToPointInTime".repeat(20)];
    record.run.calls.iter_mut().for_each(|c| c.request_id = Some(long.clone()));
    let document = typeset(&record, &[], Letters::Known).expect("it is set");
    for page in document.pages() {
        let end = furthest(&page.frame, 0.0);
        assert!(end > 150.0 && end < 192.5, "text ends {end} mm from the left edge");
    }
}

#[test]
fn ascii_alone_is_always_there_to_fall_back_on() {
    let mut record = record(World::Sim);
    record.identity.title = "Übung".to_owned();
    let document = typeset(&record, &[], Letters::Ascii).expect("it is set");
    assert!(document.pages().len() > 2);
    let fonts = Fonts::get();
    assert_eq!(fonts.spelled("Üb\u{200b}ung", Letters::Ascii), "[U+00DC]b\u{200b}ung");
    assert_eq!(fonts.spelled("Übung", Letters::Known), "Übung");
    export(&record, &[], Letters::Ascii).expect("a PDF");
}

/// Tools that redrill did not write look at this file: `tests/run` names it.
#[test]
fn a_file_for_other_tools() {
    let pdf = report(&record(World::Sim), &files()).expect("a PDF");
    if let Some(path) = std::env::var_os("REDRILL_TEST_PDF") {
        std::fs::write(path, pdf).expect("it can be written");
    }
}
