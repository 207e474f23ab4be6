//! Closed-form factorization of whole networks.

mod common;

use candle_core::{DType, Device, Tensor};
use nalgebra::DMatrix;
use stylegan_edit::{
    Factorization, Method, Rows, Unit, WStatistics, factorize, principal_components,
};
use stylegan_mapping::latents;
use stylegan_synthesis::{Generator, GeneratorConfig};

use common::{config, network};

fn generator(family: GeneratorConfig) -> Generator {
    let network = network(&config(family), 3);
    network.build(DType::F32, &Device::Cpu).unwrap()
}

fn statistics(generator: &Generator) -> WStatistics {
    let seeds: Vec<u32> = (0..200).collect();
    let z = latents::from_seeds(&seeds, 6, &Device::Cpu).unwrap();
    let mut statistics = WStatistics::new(6);
    statistics
        .push(&generator.mapping().forward(Some(&z), None).unwrap())
        .unwrap();
    statistics
}

fn options(layers: &[usize], count: usize) -> Factorization {
    Factorization {
        layers: layers.to_vec(),
        count,
        rows: Rows::AsTheyAre,
    }
}

/// The style matrices of some layers, one under the other.
fn stacked(generator: &Generator, layers: &[usize]) -> DMatrix<f64> {
    let matrices = generator.synthesis().style_matrices().unwrap();
    let matrices: Vec<&Tensor> = layers.iter().map(|&layer| &matrices[layer]).collect();
    let all = Tensor::cat(&matrices, 0)
        .unwrap()
        .to_dtype(DType::F64)
        .unwrap();
    let (rows, columns) = all.dims2().unwrap();
    let values: Vec<f64> = all.flatten_all().unwrap().to_vec1().unwrap();
    DMatrix::from_row_slice(rows, columns, &values)
}

#[test]
fn directions_are_the_singular_vectors_of_the_stacked_weights_in_both_generations() {
    for family in [GeneratorConfig::stylegan1(), GeneratorConfig::default()] {
        let generator = generator(family);
        let w = statistics(&generator);
        for layers in [&[0, 1][..], &[2, 5], &[0, 1, 2, 3, 4, 5]] {
            let found = factorize(generator.synthesis(), &options(layers, 6), &w).unwrap();
            let matrix = stacked(&generator, layers);
            let svd = matrix.clone().svd(false, true);
            let mut singular: Vec<f64> = svd.singular_values.iter().copied().collect();
            singular.sort_by(|a, b| b.total_cmp(a));
            for (direction, singular) in found.iter().zip(singular) {
                let vector = nalgebra::DVector::from_row_slice(&direction.vector);
                let Method::Factorization { eigenvalue, .. } = direction.method else {
                    panic!("{direction:?}")
                };
                let close = |a: f64, b: f64| (a - b).abs() < 1e-9 * (1. + b);
                assert!(close(eigenvalue, singular * singular), "{direction:?}");
                assert!(
                    close((&matrix * &vector).norm_squared(), eigenvalue),
                    "{direction:?}"
                );
                let first = vector
                    .iter()
                    .copied()
                    .fold(0f64, |m, x| if x.abs() > m.abs() { x } else { m });
                assert!(first > 0., "{direction:?}");
                assert_eq!(direction.layers, layers);
                assert!((direction.sigma - w.sigma(&direction.vector).unwrap()).abs() < 1e-15);
            }
        }
    }
}

#[test]
fn a_direction_changes_the_styles_by_its_eigenvalue() {
    let generator = generator(GeneratorConfig::default());
    let w = statistics(&generator);
    let layers = [1, 2];
    let found = factorize(generator.synthesis(), &options(&layers, 1), &w).unwrap();
    let ws = Tensor::zeros((1, 6, 6), DType::F64, &Device::Cpu).unwrap();
    let step = found[0].apply(&ws, 2., Unit::Length, &layers).unwrap();
    let matrices = generator.synthesis().style_matrices().unwrap();
    let mut change = 0.;
    for (layer, matrix) in matrices.iter().enumerate() {
        let w = step.narrow(1, layer, 1).unwrap().reshape((6, 1)).unwrap();
        let style = matrix.to_dtype(DType::F64).unwrap().matmul(&w).unwrap();
        let square = style
            .sqr()
            .unwrap()
            .sum_all()
            .unwrap()
            .to_scalar::<f64>()
            .unwrap();
        assert_eq!(square > 0., layers.contains(&layer), "layer {layer}");
        change += square;
    }
    let Method::Factorization { eigenvalue, share } = found[0].method else {
        panic!("{found:?}")
    };
    assert!((change / (4. * eigenvalue) - 1.).abs() < 1e-9);
    assert!(share > 1. / 6. && share < 1.);
}

#[test]
fn what_can_not_be_factorized_is_an_error() {
    let stylegan2 = generator(GeneratorConfig::default());
    let w = statistics(&stylegan2);
    let error = |layers: &[usize], count| {
        let found = factorize(stylegan2.synthesis(), &options(layers, count), &w);
        found.unwrap_err().to_string()
    };
    assert_eq!(error(&[6], 1), "layer 6: the network has the layers 0 to 5");
    assert_eq!(
        error(&[0], 7),
        "7 directions: w has 6 dimensions; ask for 1 to 6"
    );
    let progan = generator(GeneratorConfig::progan());
    let found = factorize(progan.synthesis(), &options(&[0], 1), &w);
    assert_eq!(
        found.unwrap_err().to_string(),
        "the layers of the network have no styles, as ProGAN's have none, so there is nothing to factorize; give a StyleGAN or a StyleGAN2"
    );
}

#[test]
fn principal_components_of_a_network_have_its_variances() {
    let generator = generator(GeneratorConfig::stylegan1());
    let w = statistics(&generator);
    let found = principal_components(&w, &[0, 1, 2], 6).unwrap();
    for pair in found.windows(2) {
        assert!(pair[0].sigma >= pair[1].sigma);
    }
    for direction in &found {
        let sigma = w.sigma(&direction.vector).unwrap();
        assert!((direction.sigma / sigma - 1.).abs() < 1e-9, "{direction:?}");
    }
}
