//! What the vision tower has around its layers, on slices, there and back.

use candle_core::{Result, Shape, Tensor};
use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::{ParallelSlice, ParallelSliceMut};
use sightstream_model::backbone::cpu::Floats;

use super::super::graph::{Output, tie};
use super::super::modules::Linear;
use super::super::pass::Pass;
use super::activation::{gelu_back, gelu_forth};
use super::linear::{By, FusedLinear};
use super::matrix::{Matrix, MatrixMut};
use super::sums::ELEMENTS;

/// `x` (rows, inputs) to (rows, outputs), with a graph if the pass asks for one.
///
/// # Errors
/// If the tensors are not f32 on the CPU, or their shapes do not go together.
pub fn linear(linear: &Linear, x: &Tensor, pass: &Pass) -> Result<Tensor> {
    let plain = x.detach().contiguous()?;
    let (rows, inputs) = plain.dims2()?;
    let (linear, pass) = (linear.clone(), *pass);
    let (output, kept, outputs) = {
        let fused = FusedLinear::of(&linear, &pass)?;
        let mut output = vec![0.0; rows * fused.outputs];
        let kept = fused.forth(MatrixMut::new(&mut output, fused.outputs), false, &Floats::of(&plain)?)?;
        (output, kept, fused.outputs)
    };
    let shape = Shape::from((rows, outputs));
    if !pass.graph {
        return Tensor::from_vec(output, shape, x.device());
    }
    let tensors: Vec<Tensor> = linear.tensors().cloned().collect();
    let inputs_of: Vec<&Tensor> = std::iter::once(x).chain(&tensors).collect();
    tie(&inputs_of, Output::Numbers(output, shape), move |gradient, wanted| {
        let mut by_x = wanted[0].then(|| vec![0.0; rows * inputs]);
        let gradient = Floats::of(gradient)?;
        let by_tensors = FusedLinear::of(&linear, &pass)?.back(
            by_x.as_deref_mut().map(By::fresh),
            Matrix::new(&gradient, outputs),
            &Floats::of(&plain)?,
            &kept,
        );
        let like = std::iter::once(&plain).chain(linear.tensors());
        let gradients = std::iter::once(by_x).chain(by_tensors).zip(wanted).zip(like);
        let shaped = gradients.map(|((numbers, wanted), like)| {
            let numbers = numbers.filter(|_| *wanted);
            numbers
                .map(|numbers| Tensor::from_vec(numbers, like.shape(), like.device()))
                .transpose()
        });
        shaped.collect()
    })
}

/// The GELU by the error function.
///
/// # Errors
/// If `x` is not f32 on the CPU.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    let plain = x.detach().contiguous()?;
    let mut output = Floats::of(&plain)?.to_vec();
    output.par_chunks_mut(ELEMENTS).for_each(gelu_forth);
    let shape = plain.shape().clone();
    tie(&[x], Output::Numbers(output, shape), move |gradient, _| {
        let mut by_x = Floats::of(gradient)?.to_vec();
        let x = Floats::of(&plain)?;
        by_x.par_chunks_mut(ELEMENTS)
            .zip(x.par_chunks(ELEMENTS))
            .for_each(|(by_x, x)| gelu_back(by_x, x));
        Ok(vec![Some(Tensor::from_vec(by_x, plain.shape(), plain.device())?)])
    })
}
