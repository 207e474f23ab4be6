//! `plot`: pictures of the curves of runs.

use std::fs;

use crate::common::{lines, snapshot, train_tiny, xtask};

#[test]
fn one_run_and_several_become_small_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let schedule = ["--kimg", "0.08", "--tick", "0.04"];
    let runs = [(); 2].map(|()| {
        let newest = snapshot(&train_tiny(folder.path(), &schedule));
        newest.parent().unwrap().to_str().unwrap().to_string()
    });
    let out = folder.path().join("curves.svg");
    let out = out.to_str().unwrap();

    let plot = |runs: &[&str]| {
        let run = xtask(&[&["plot", "--out", out], runs].concat());
        assert!(run.status.success(), "{:?}", lines(&run));
        assert_eq!(String::from_utf8_lossy(&run.stdout).trim(), out);
        (fs::read_to_string(out).unwrap(), lines(&run))
    };
    let (one, notes) = plot(&[&runs[0]]);
    assert!(notes.is_empty(), "{notes:?}");
    assert!(one.starts_with(r#"<svg width="960" height="#) && one.ends_with("</svg>\n"));
    for text in [
        "Loss",
        "G",
        "D",
        "real",
        "fake",
        "R1",
        "Path length",
        "kimg",
    ] {
        assert!(one.contains(&format!(">\n{text}\n<")), "{text}");
    }
    assert!(one.contains("00000-portraits-subset100-auto-batch8"));
    let lines_drawn = |svg: &str| svg.matches("<polyline").count();

    let (two, notes) = plot(&[&runs[0], &runs[1]]);
    assert_eq!(notes, ["note: replaced the file that was there before"]);
    assert!(two.contains("00001-portraits-subset100-auto-batch8"));
    assert!(two.len() < 100_000, "{} bytes", two.len());
    assert!(lines_drawn(&two) > lines_drawn(&one));
}
