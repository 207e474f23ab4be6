use candle_core::DType;
use serde_json::{Value, json};
use stylegan_goldens::{assert_close, load};
use stylegan_ops::nearest_upsample2d;

use super::*;
use crate::step::fade_reals;

const BASE: Base = Base {
    img_resolution: 32,
    batch: 4,
    g_lr: 0.001,
    d_lr: 0.002,
    num_gpus: 1,
};

/// The cases of the schedule or, without `rows`, those of the reals.
fn goldens(
    rows: bool,
    dtype: DType,
) -> Result<impl Iterator<Item = stylegan_goldens::Case<Value>>> {
    let cases: Vec<_> = load::<Value>("stylegan1", "process_reals", dtype)?;
    let cases: Vec<_> = (cases.into_iter())
        .filter(|case| case.params.get("rows").is_some() == rows)
        .collect();
    assert!(!cases.is_empty());
    Ok(cases.into_iter())
}

/// The original's options by the names of our fields; what it leaves out has the original's default.
fn config_of(options: &Value) -> GrowingConfig {
    let mut ours = json!({ "lod_initial_resolution": 4 });
    for (name, value) in options.as_object().expect("options") {
        ours[name.to_lowercase()] = value.clone();
    }
    serde_json::from_value(ours).expect("options of the schedule")
}

#[test]
fn golden_schedule() -> Result<()> {
    for case in goldens(true, DType::F64)? {
        let params = &case.params;
        let (options, defaults) = (&params["options"], &params["defaults"]);
        let number = |name: &str, default: f64| {
            let found = [options, defaults].map(|of| of[name].as_f64());
            found[0].or(found[1]).unwrap_or(default)
        };
        let config = config_of(options);
        let base = Base {
            img_resolution: params["full_resolution"].as_u64().expect("resolution") as usize,
            batch: number("minibatch_base", 16.) as usize,
            g_lr: number("G_lrate_base", 0.001),
            d_lr: number("D_lrate_base", 0.001),
            num_gpus: params["num_gpus"].as_u64().expect("devices") as usize,
        };
        for row in params["rows"].as_array().expect("rows") {
            let expected = |name: &str| row[name].as_f64().expect(name);
            let at = config.position(expected("kimg"), &base)?;
            let name = format!("{} at {} kimg", case.name, expected("kimg"));
            assert_eq!(at.resolution as f64, expected("resolution"), "{name}");
            assert_eq!(at.batch as f64, expected("minibatch"), "{name}");
            for (found, column) in [
                (at.lod.get(), "lod"),
                (at.g_lr, "G_lrate"),
                (at.d_lr, "D_lrate"),
            ] {
                let difference = (found - expected(column)).abs();
                assert!(difference < 1e-12, "{name}: {column} {found}");
            }
        }
    }
    Ok(())
}

#[test]
fn golden_reals() -> Result<()> {
    for dtype in [DType::F32, DType::F64] {
        for case in goldens(false, dtype)? {
            let number = |value: &Value| value.as_f64().expect("a number");
            let ends = |name: &str| [0, 1].map(|end| number(&case.params[name][end]));
            let ([from, to], [low, high]) = (ends("drange_data"), ends("drange_net"));
            let scale = (high - low) / (to - from);
            let x = case.get("x")?.affine(scale, low - from * scale)?;
            let full = number(&case.params["network_resolution"]) as usize;
            let lod = Lod::new(number(&case.params["lod"]))?;
            // The original reads images of the active resolution; ours are of the full one.
            let enlarged = |x| nearest_upsample2d(x, full / lod.resolution(full));
            let faded = fade_reals(&enlarged(&x)?, lod)?;
            assert_eq!(faded.dims(), x.dims());
            assert_close(&case.name, &enlarged(&faded)?, case.get("y")?, 1e-4);
        }
    }
    Ok(())
}

#[test]
fn the_level_of_detail_never_rises() -> Result<()> {
    for (training, transition) in [(0.1, 0.3), (0.7, 0.), (0., 0.3), (0.017, 0.043)] {
        let config = GrowingConfig {
            lod_initial_resolution: 4,
            lod_training_kimg: training,
            lod_transition_kimg: transition,
            ..GrowingConfig::default()
        };
        let mut last = Lod::new(3.)?;
        for images in 0..4000 {
            let lod = config.lod(f64::from(images) / 1000., 32)?;
            assert!(
                lod <= last,
                "{training}+{transition}: {last}, {lod} at {images}"
            );
            last = lod;
        }
        assert_eq!(last, Lod::FULL);
    }
    Ok(())
}

#[test]
fn batches_and_learning_rates_go_by_the_active_resolution() -> Result<()> {
    let config = GrowingConfig {
        minibatch_dict: [(8, 16), (32, 9)].into(),
        max_minibatch_per_gpu: [(32, 3)].into(),
        d_lrate_dict: [(16, 0.01)].into(),
        lrate_rampup_kimg: 1000.,
        ..GrowingConfig::default()
    };
    let row = |kimg: f64, num_gpus: usize| -> Result<_> {
        let at = config.position(kimg, &Base { num_gpus, ..BASE })?;
        Ok((at.resolution, at.batch, at.g_lr, at.d_lr))
    };
    assert_eq!(row(500., 1)?, (8, 16, 0.0005, 0.001));
    // 16x16 fades in, and has the base's batch.
    assert_eq!(row(1000., 1)?, (16, 4, 0.001, 0.01));
    assert_eq!(row(2000., 1)?, (32, 3, 0.001, 0.002));
    assert_eq!(row(2000., 2)?, (32, 6, 0.001, 0.002));
    assert_eq!(config.resolutions(32).collect::<Vec<_>>(), [8, 16, 32]);
    assert_eq!(config.resolutions(4).collect::<Vec<_>>(), [4]);
    Ok(())
}

#[test]
fn tables_by_resolution_survive_json_within_flattened_structs() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Outer {
        #[serde(flatten)]
        inner: Inner,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Inner {
        growing: GrowingConfig,
    }
    let growing = GrowingConfig {
        minibatch_dict: [(8, 16), (32, 9)].into(),
        g_lrate_dict: [(1024, 0.003)].into(),
        ..GrowingConfig::default()
    };
    let outer = Outer {
        inner: Inner { growing },
    };
    let text = serde_json::to_string(&outer).expect("JSON");
    assert!(
        text.contains(r#""minibatch_dict":{"8":16,"32":9}"#),
        "{text}"
    );
    assert_eq!(serde_json::from_str::<Outer>(&text).expect("Outer"), outer);
    let error = serde_json::from_value::<GrowingConfig>(json!({"minibatch_dict": {"x": 4}}));
    let error = error.expect_err("no resolution").to_string();
    assert_eq!(error, "expected a resolution as the key, found \"x\"");
}
