use super::*;
use crate::options::GrowingOptions;
use stylegan_losses::AdversarialLoss;
use stylegan_ops::nn::Architecture;

fn recipe(change: impl FnOnce(&mut TrainOptions)) -> Result<Recipe, OptionError> {
    let mut options = TrainOptions::default();
    options.data.resolution = Some(16);
    change(&mut options);
    let dataset = options.data.open(0).unwrap();
    Recipe::new(&options, &dataset)
}

#[test]
fn a_preset_fills_in_what_was_not_given() {
    let config = recipe(|o| o.network.z_dim = Some(64)).unwrap().config;
    let (g, d) = (&config.generator, &config.discriminator);
    assert_eq!((g.z_dim, g.w_dim(), g.c_dim), (64, 512, 0));
    assert_eq!((g.synthesis.img_resolution, d.img_resolution), (16, 16));
    assert_eq!((g.synthesis.channel_base, d.channel_base), (16384, 16384));
    assert_eq!((config.batch, config.batch_gpu), (32, 32));
    assert_eq!((config.loss.pl_weight, config.ema.kimg), (2.0, 10.0));
    config.validate().unwrap();
}

#[test]
fn every_preset_gives_a_valid_configuration() {
    for preset in Preset::ALL {
        let recipe = recipe(|o| o.preset = Some(preset)).unwrap();
        recipe.config.validate().unwrap();
        let tuned_elsewhere = preset.native_resolution().is_some();
        let notes = recipe.notes();
        assert_eq!(notes.len(), usize::from(tuned_elsewhere), "{preset}");
    }
}

#[test]
fn options_replace_the_numbers_of_a_preset() {
    let config = recipe(|o| {
        o.preset = Some(Preset::Cifar);
        o.training.batch = Some(16);
        o.training.lr = Some(0.001);
        o.training.gamma = Some(3.0);
        o.training.pl_weight = Some(1.0);
        o.network.mapping_layers = Some(4);
    })
    .unwrap()
    .config;
    assert_eq!(config.batch, 16);
    assert_eq!(
        (config.optimizer.g_lr, config.optimizer.d_lr),
        (0.001, 0.001)
    );
    assert_eq!((config.loss.r1_gamma, config.loss.pl_weight), (3.0, 1.0));
    assert_eq!(config.generator.mapping.num_layers, 4);
    assert_eq!(config.discriminator.architecture, Architecture::Orig);
}

#[test]
fn a_base_without_channels_at_the_resolution_is_refused() {
    let error = recipe(|o| o.network.channel_base = Some(8)).unwrap_err();
    let expected = "--channel-base 8: leaves no channels at 16x16 pictures; give at least 16";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_pass_that_does_not_split_into_groups_is_refused() {
    let error = recipe(|o| {
        o.training.batch = Some(12);
        o.training.batch_gpu = Some(6);
    })
    .unwrap_err();
    let expected = "--batch-gpu 6: isn't a multiple of the minibatch-std group of 4 pictures; use --batch-gpu 4";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_pass_far_beyond_the_batch_is_refused_at_once() {
    let mut recipe = recipe(|_| {}).unwrap();
    recipe.config.batch_gpu = usize::MAX;
    let error = recipe.check_batch().unwrap_err().to_string();
    assert!(error.ends_with("use --batch-gpu 32"), "{error}");
}

#[test]
fn passes_that_make_smaller_groups_than_the_presets_are_noted() {
    let notes = |batch, batch_gpu| {
        let recipe = recipe(|o| {
            o.preset = Some(Preset::Stylegan2);
            o.training.batch = Some(batch);
            o.training.batch_gpu = batch_gpu;
        });
        recipe.unwrap().notes()
    };
    let ends = "makes groups of 2 pictures in the minibatch standard deviation, the preset's are 4";
    assert_eq!(notes(8, Some(2)), [format!("note: --batch-gpu 2 {ends}")]);
    assert_eq!(notes(2, None), [format!("note: --batch 2 {ends}")]);
    assert!(notes(8, Some(4)).is_empty());
}

#[test]
fn a_resumed_run_takes_new_weights_with_a_note_each() {
    let trained = recipe(|_| {}).unwrap();
    let mut options = TrainOptions::default();
    options.training.lr = Some(0.001);
    options.training.gamma = Some(3.0);
    options.training.pl_weight = Some(2.0);
    options.training.mixing_prob = Some(0.5);
    options.training.ema_kimg = Some(2.0);
    let (resumed, changes) = trained.clone().resumed(&options).unwrap();
    assert_eq!(resumed.config.ema.kimg, 2.0);
    let (loss, optimizer) = (resumed.config.loss, resumed.config.optimizer);
    assert_eq!((optimizer.g_lr, optimizer.d_lr), (0.001, 0.001));
    assert_eq!((loss.r1_gamma, loss.style_mixing_prob), (3.0, 0.5));
    let gamma = trained.config.loss.r1_gamma;
    let expected = [
        "note: --lr 0.001 replaces the checkpoint's 0.0025".to_string(),
        format!("note: --gamma 3 replaces the checkpoint's {gamma}"),
        "note: --mixing-prob 0.5 replaces the checkpoint's 0.9".to_string(),
        "note: --ema-kimg 2 replaces the checkpoint's 10".to_string(),
    ];
    assert_eq!(changes, expected);

    let wasserstein = recipe(|o| o.training.loss = Some(AdversarialLoss::WganGp)).unwrap();
    let error = wasserstein.resumed(&options).unwrap_err().to_string();
    assert!(error.starts_with("--gamma 3: R1 isn't part of"), "{error}");
}

#[test]
fn a_resumed_run_takes_new_passes_and_refuses_new_losses() {
    let trained = recipe(|_| {}).unwrap();
    let mut options = TrainOptions::default();
    options.training.batch_gpu = Some(8);
    let (resumed, changes) = trained.clone().resumed(&options).unwrap();
    assert_eq!((resumed.config.batch, resumed.config.batch_gpu), (32, 8));
    assert!(changes.is_empty());

    options.training.loss = Some(AdversarialLoss::Hinge);
    let error = trained.resumed(&options).unwrap_err().to_string();
    assert!(error.starts_with("--loss hinge: the checkpoint was trained with logistic;"));
}

#[test]
fn networks_without_a_mapping_network_take_w_from_z_and_the_label() {
    let config = recipe(|o| o.preset = Some(Preset::Progan)).unwrap().config;
    assert_eq!(
        (config.generator.z_dim, config.generator.w_dim()),
        (512, 512)
    );
    let config = recipe(|o| {
        o.preset = Some(Preset::Stylegan1B);
        o.network.z_dim = Some(24);
    });
    assert_eq!(config.unwrap().config.generator.w_dim(), 24);
    let error = |change: fn(&mut TrainOptions)| {
        let recipe = recipe(|o| {
            o.preset = Some(Preset::Progan);
            change(o);
        });
        recipe.unwrap_err().to_string()
    };
    let why = "--cfg progan has no mapping network: its w is the normalised z, with the label beside it; leave the option out, or choose the width with --z-dim";
    let w_dim = error(|o| o.network.w_dim = Some(64));
    assert_eq!(w_dim, format!("--w-dim 64: {why}"));
    let layers = error(|o| o.network.mapping_layers = Some(8));
    assert_eq!(layers, format!("--mapping-layers 8: {why}"));
    let mixing = error(|o| o.training.mixing_prob = Some(0.5));
    let expected = "--mixing-prob 0.5: the generator of --cfg progan has no styles to mix; leave the option out";
    assert_eq!(mixing, expected);
    let gamma = error(|o| o.training.gamma = Some(1.0));
    assert!(
        gamma.starts_with("--gamma 1: R1 isn't part of --loss wgan-gp"),
        "{gamma}"
    );
}

#[test]
fn given_batches_and_learning_rates_hold_at_all_resolutions() {
    let recipe = recipe(|o| {
        o.preset = Some(Preset::Stylegan1);
        o.training.batch = Some(16);
        o.training.lr = Some(0.002);
        o.growing.lod_training_kimg = Some(10.0);
        o.growing.lod_transition_kimg = Some(20.0);
    });
    let recipe = recipe.unwrap();
    assert_eq!(recipe.description(), "portraits-stylegan1-batch16");
    assert_eq!(recipe.config.batches(), [16, 16]);
    for (images_seen, resolution) in [(0, 8), (11_000, 16), (1_000_000, 16)] {
        let at = recipe.config.position(images_seen).unwrap();
        assert_eq!((at.resolution, at.batch), (resolution, 16));
        assert_eq!((at.g_lr, at.d_lr), (0.002, 0.002));
    }
}

#[test]
fn the_preset_of_a_growing_run_has_passes_for_every_batch() {
    let stylegan1 = |batch_gpu| {
        recipe(|o| {
            o.preset = Some(Preset::Stylegan1);
            o.data.resolution = Some(64);
            o.training.batch_gpu = batch_gpu;
        })
    };
    let whole = stylegan1(None).unwrap();
    assert_eq!(whole.description(), "portraits-stylegan1-batch32");
    assert_eq!((whole.config.batch_gpu, whole.config.pass(32)), (128, 32));
    assert!(whole.notes().is_empty());
    stylegan1(Some(16)).unwrap();
    let error = stylegan1(Some(48)).unwrap_err().to_string();
    let expected = "--batch-gpu 48: doesn't divide the batch of 128 that another resolution has; use --batch-gpu 32";
    assert_eq!(error, expected);
    let notes = stylegan1(Some(2)).unwrap().notes();
    assert!(
        notes[0].starts_with("note: --batch-gpu 2 makes groups of 2"),
        "{notes:?}"
    );
}

#[test]
fn options_of_growing_are_for_networks_that_grow() {
    let error = |preset, change: fn(&mut GrowingOptions)| {
        let recipe = recipe(|o| {
            o.preset = Some(preset);
            change(&mut o.growing);
        });
        recipe.unwrap_err().to_string()
    };
    let fixed = error(Preset::Auto, |o| o.lod_transition_kimg = Some(10.0));
    let expected = "--lod-transition-kimg 10: the networks of --cfg auto don't grow; leave the option out, or choose a --cfg whose networks do: stylegan1, progan, stylegan1-a,";
    assert!(fixed.starts_with(expected), "{fixed}");
    let large = error(Preset::Stylegan1, |o| o.lod_initial_resolution = Some(32));
    let expected = "--lod-initial-resolution 32: is more than the 16 pixels of the pictures";
    assert_eq!(large, expected);
    let never = error(Preset::Stylegan1, |o| {
        (o.lod_training_kimg, o.lod_transition_kimg) = (Some(0.0), Some(0.0));
    });
    let expected = "--lod-training-kimg 0: and --lod-transition-kimg 0 leave no time to grow;";
    assert!(never.starts_with(expected), "{never}");
}

#[test]
fn a_resumed_run_grows_as_it_did() {
    let trained = recipe(|o| o.preset = Some(Preset::Stylegan1)).unwrap();
    let fixed = recipe(|_| {}).unwrap();
    let error = |recipe: &Recipe, change: fn(&mut TrainOptions)| {
        let mut options = TrainOptions::default();
        change(&mut options);
        recipe.clone().resumed(&options).unwrap_err().to_string()
    };
    let phase = error(&trained, |o| o.growing.lod_training_kimg = Some(10.0));
    let expected = "--lod-training-kimg 10: the checkpoint was trained with 600;";
    assert!(phase.starts_with(expected), "{phase}");
    let initial = error(&trained, |o| o.growing.lod_initial_resolution = Some(4));
    let expected = "--lod-initial-resolution 4: the checkpoint was trained with 8;";
    assert!(initial.starts_with(expected), "{initial}");
    let batch = error(&trained, |o| o.training.batch = Some(4));
    let expected = "--batch 4: the checkpoint was trained with batches by resolution;";
    assert!(batch.starts_with(expected), "{batch}");
    let never = error(&fixed, |o| o.growing.lod_transition_kimg = Some(600.0));
    let expected =
        "--lod-transition-kimg 600: the checkpoint was trained with networks that don't grow;";
    assert!(never.starts_with(expected), "{never}");

    let mut options = TrainOptions::default();
    options.training.lr = Some(0.001);
    let (resumed, changes) = trained.resumed(&options).unwrap();
    let expected = "note: --lr 0.001 replaces the checkpoint's learning rates by resolution";
    assert_eq!(changes, [expected]);
    assert!(resumed.config.growing.unwrap().g_lrate_dict.is_empty());
}

#[test]
fn recipes_survive_json() {
    let recipe = recipe(|o| o.training.gamma = Some(0.1 + 0.2)).unwrap();
    let json = serde_json::to_string(&recipe).unwrap();
    assert_eq!(serde_json::from_str::<Recipe>(&json).unwrap(), recipe);
    assert!(!json.contains("growing"));
}
