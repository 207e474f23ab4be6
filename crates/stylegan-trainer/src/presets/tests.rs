use super::*;

#[test]
fn auto_follows_resolution_and_batch() {
    let cases = [
        // resolution, batch, channel base, lr, gamma, EMA kimg
        (32, 32, 16384, 0.0025, 0.0064, 10.0),
        (128, 32, 16384, 0.0025, 0.1024, 10.0),
        (256, 16, 16384, 0.0025, 0.8192, 5.0),
        (512, 8, 32768, 0.0025, 6.5536, 2.5),
        (1024, 4, 32768, 0.002, 52.4288, 1.25),
    ];
    for (resolution, batch, base, lr, gamma, ema_kimg) in cases {
        let c = Preset::Auto.training(resolution, None);
        assert_eq!(
            (c.batch, c.discriminator.channel_base, c.optimizer.d_lr),
            (batch, base, lr),
            "{resolution}"
        );
        let found = c.loss.r1_gamma;
        assert!((found - gamma).abs() < 1e-9, "{resolution}: {found}");
        assert_eq!((c.ema.kimg, c.ema.rampup), (ema_kimg, Some(0.05)));
        assert_eq!(c.discriminator.mbstd_group_size, Some(4));
        assert_eq!(c.generator.mapping.num_layers, 2);
    }
}

#[test]
fn auto_derives_gamma_and_ema_from_the_given_batch() {
    let c = Preset::Auto.training(32, Some(16));
    assert!((c.loss.r1_gamma - 0.0128).abs() < 1e-12);
    let group = |c: &TrainingConfig| c.discriminator.mbstd_group_size;
    assert_eq!((c.ema.kimg, group(&c)), (5.0, Some(4)));
    assert_eq!(group(&Preset::Auto.training(32, Some(2))), Some(2));
}

#[test]
fn fixed_presets_have_the_published_numbers() {
    let row = |p: Preset| {
        let c = p.training(256, None);
        assert_eq!(c.optimizer.g_lr, c.optimizer.d_lr);
        (
            c.batch,
            c.discriminator.mbstd_group_size.unwrap(),
            c.generator.synthesis.channel_base,
            c.optimizer.g_lr,
            c.loss.r1_gamma,
            c.ema.kimg,
            c.ema.rampup,
            c.generator.mapping.num_layers,
        )
    };
    assert_eq!(
        row(Preset::Stylegan2),
        (32, 4, 32768, 0.002, 10.0, 10.0, None, 8)
    );
    assert_eq!(
        row(Preset::Paper256),
        (64, 8, 16384, 0.0025, 1.0, 20.0, None, 8)
    );
    assert_eq!(
        row(Preset::Paper512),
        (64, 8, 32768, 0.0025, 0.5, 20.0, None, 8)
    );
    assert_eq!(
        row(Preset::Paper1024),
        (32, 4, 32768, 0.002, 2.0, 10.0, None, 8)
    );
    assert_eq!(
        row(Preset::Cifar),
        (64, 32, 32768, 0.0025, 0.01, 500.0, Some(0.05), 2)
    );
    assert_eq!(
        row(Preset::Stylegan1),
        (8, 4, 16384, 0.001, 10.0, 10.0, None, 8)
    );
    let cifar = Preset::Cifar.training(32, None);
    assert_eq!(
        (cifar.loss.pl_weight, cifar.loss.style_mixing_prob),
        (0.0, 0.0)
    );
    assert_eq!(cifar.discriminator.architecture, Architecture::Orig);
}

#[test]
fn networks_that_grow_have_batches_and_learning_rates_by_resolution() {
    let at = |preset: Preset, kimg: u64| {
        let config = preset.training(1024, None);
        let position = config.position(kimg * 1000).unwrap();
        (
            position.resolution,
            position.batch,
            position.g_lr,
            position.d_lr,
        )
    };
    assert_eq!(at(Preset::Stylegan1, 0), (8, 128, 0.001, 0.001));
    assert_eq!(at(Preset::Stylegan1, 601), (16, 128, 0.001, 0.001));
    assert_eq!(
        at(Preset::Stylegan1, 3 * 1200 + 700),
        (128, 16, 0.0015, 0.0015)
    );
    assert_eq!(at(Preset::Stylegan1, 25_000), (1024, 4, 0.003, 0.003));
    assert_eq!(at(Preset::Progan, 0), (4, 128, 0.001, 0.001));
    assert_eq!(at(Preset::Progan, 12_000), (1024, 4, 0.001, 0.001));
    let given = Preset::Stylegan1.training(64, Some(16));
    assert_eq!(given.batches(), [16, 16, 16, 16]);
    assert_eq!(given.batch_gpu, 16);
    let small = Preset::Stylegan1.training(4, None);
    assert_eq!(small.batches(), [128]);
}

#[test]
fn each_row_of_the_ablation_turns_one_switch() {
    let layers = |preset: Preset| {
        let config = preset.training(64, None);
        let Layers::Styled(layers) = config.generator.synthesis.layers else {
            panic!("{preset}: layers of the first generation")
        };
        let mapping = config.generator.mapping.num_layers;
        (layers, mapping, config.loss)
    };
    let [a, b, c, d, e, f] = [
        Preset::Stylegan1A,
        Preset::Stylegan1B,
        Preset::Stylegan1C,
        Preset::Stylegan1D,
        Preset::Stylegan1E,
        Preset::Stylegan1F,
    ]
    .map(layers);
    assert_eq!(a, layers(Preset::Progan));
    let blurred = StyledLayers {
        convolution: b.0.convolution.clone(),
        ..a.0.clone()
    };
    assert_eq!((b.0.clone(), b.1), (blurred, 0));
    assert_ne!(a.0.convolution, b.0.convolution);
    let styled = StyledLayers {
        use_styles: true,
        use_instance_norm: true,
        use_pixel_norm: false,
        ..b.0.clone()
    };
    assert_eq!((c.0.clone(), c.1, &c.2), (styled, 8, &b.2));
    let constant = StyledLayers {
        const_input_layer: true,
        ..c.0.clone()
    };
    assert_eq!((d.0.clone(), d.1, &d.2), (constant, 8, &c.2));
    let noisy = StyledLayers {
        use_noise: true,
        ..d.0.clone()
    };
    assert_eq!((e.0.clone(), e.1, &e.2), (noisy, 8, &d.2));
    assert_eq!((&f.0, f.1), (&e.0, 8));
    let mixing = [&a, &b, &c, &d, &e, &f].map(|row| row.2.style_mixing_prob);
    assert_eq!(mixing, [0., 0., 0., 0., 0., 0.9]);
    assert_eq!(f, layers(Preset::Stylegan1));
}

#[test]
fn names_parse_back() {
    for preset in Preset::ALL {
        assert_eq!(preset.name().parse(), Ok(preset));
        assert_eq!(serde_json::to_value(preset).unwrap(), preset.name());
    }
    let message = "paper".parse::<Preset>().unwrap_err();
    assert!(
        message.starts_with("no preset paper; there are: auto, stylegan2"),
        "{message}"
    );
}
