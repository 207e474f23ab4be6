//! The embedded portraits: fixed for ever, varied, and usable as a dataset.

use std::collections::HashSet;

use candle_core::Device;
use stylegan_data::portraits::{self, Background, Beard, Glasses, HairStyle};
use stylegan_data::{Dataset, DatasetOptions};

/// FNV-1a, 64 bits.
fn checksum(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[test]
fn factors_of_the_whole_set_are_those_of_every_other_machine() {
    let all: Vec<_> = (0..portraits::COUNT).map(portraits::factors).collect();
    let json = serde_json::to_string(&all).unwrap();
    assert_eq!(
        checksum(&json),
        6564193292057771385,
        "the portrait set has changed"
    );
}

#[test]
fn factors_survive_json() {
    let factors = portraits::factors(3);
    let json = serde_json::to_string(&factors).unwrap();
    assert_eq!(
        serde_json::from_str::<portraits::Factors>(&json).unwrap(),
        factors
    );
}

#[test]
fn every_choice_occurs_and_no_two_portraits_are_alike() {
    let all: Vec<_> = (0..portraits::COUNT).map(portraits::factors).collect();
    let styles: HashSet<HairStyle> = all.iter().map(|factors| factors.hair.style).collect();
    let beards: HashSet<Beard> = all.iter().map(|factors| factors.beard).collect();
    let glasses: HashSet<Glasses> = all.iter().map(|factors| factors.glasses).collect();
    let scenes: HashSet<Background> = all
        .iter()
        .map(|factors| factors.scenery.background)
        .collect();
    assert_eq!(styles.len(), HairStyle::ALL.len());
    assert_eq!(beards.len(), Beard::ALL.len());
    assert_eq!(glasses.len(), Glasses::ALL.len());
    assert_eq!(scenes.len(), Background::ALL.len());
    let distinct: HashSet<String> = (all.iter())
        .map(|factors| serde_json::to_string(factors).unwrap())
        .collect();
    assert_eq!(distinct.len(), portraits::COUNT);
}

#[test]
fn turning_the_head_moves_the_face_and_drawing_twice_gives_the_same() {
    let mut factors = portraits::factors(11);
    let draw = |factors: &portraits::Factors| portraits::draw(factors, 32).unwrap().into_raw();
    factors.pose.turn_degrees = -30;
    let left = draw(&factors);
    assert_eq!(draw(&factors), left);
    factors.pose.turn_degrees = 30;
    let right = draw(&factors);
    let changed = left
        .iter()
        .zip(&right)
        .filter(|(a, b)| a.abs_diff(**b) > 8)
        .count();
    assert!(
        changed > left.len() / 20,
        "{changed} of {} values changed",
        left.len()
    );
}

#[test]
fn every_resolution_draws_the_same_portrait() {
    let factors = portraits::factors(5);
    let mean = |resolution| {
        let pixels = portraits::draw(&factors, resolution).unwrap().into_raw();
        let sum: f64 = pixels.iter().map(|&value| f64::from(value)).sum();
        sum / pixels.len() as f64
    };
    let expected = mean(256);
    for resolution in [4, 8, 16, 32, 64, 128] {
        assert!((mean(resolution) - expected).abs() < 2.0, "at {resolution}");
    }
    let error = portraits::draw(&factors, 48).unwrap_err().to_string();
    assert_eq!(
        error,
        "resolution 48: expected a power of two from 4 to 1024; the nearest are 32 and 64"
    );
}

#[test]
fn without_a_path_the_dataset_is_the_portraits_with_hair_styles_as_classes() {
    let dataset = Dataset::open(&DatasetOptions {
        cond: true,
        ..Default::default()
    })
    .unwrap();
    assert_eq!(dataset.len(), portraits::COUNT);
    assert_eq!(dataset.resolution(), portraits::DEFAULT_RESOLUTION);
    assert_eq!(dataset.label_dim(), portraits::CLASS_COUNT);
    assert_eq!(
        dataset.label(9).unwrap().unwrap()[portraits::factors(9).class()],
        1.0
    );
    let (images, labels) = dataset.batch(&[9, 4], &Device::Cpu).unwrap();
    assert_eq!(images.dims(), [2, 3, 32, 32]);
    assert_eq!(labels.unwrap().dims(), [2, portraits::CLASS_COUNT]);
    assert_eq!(
        dataset.describe(),
        "8192 pictures from the embedded portraits, 32x32 RGB, 10 classes"
    );
}
