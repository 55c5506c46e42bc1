//! Graphs of our own making: an operation of any number of inputs whose gradients are computed by hand.
//!
//! candle's custom operations have three inputs at most, and compute the gradient of each at once. Here the result hangs on
//! its first input and on a chain of single numbers, one for each further input. Going back, candle comes to the result
//! before the chain: there all gradients are computed, and the links hand out one each.

use std::sync::{Arc, Mutex};

use candle_core::backend::{BackendDevice, BackendStorage};
use candle_core::{CpuStorage, CudaStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Storage, Tensor};

/// Gives the gradient of each input that is wanted from the gradient of the result.
type Backward = dyn Fn(&Tensor, &[bool]) -> Result<Vec<Option<Tensor>>> + Send + Sync;

/// What an operation gives, computed without a graph.
pub enum Output {
    /// A tensor on the device of its inputs.
    Tensor(Tensor),
    /// Numbers of an operation on the CPU in f32, row-major in this shape.
    Numbers(Vec<f32>, Shape),
}

impl From<Tensor> for Output {
    fn from(tensor: Tensor) -> Self {
        Self::Tensor(tensor)
    }
}

/// Ties `output`, which was computed from `inputs` without a graph, to those of them that have one.
///
/// There is one input at least. `backward` is given the gradient of `output` and, for each input, whether its gradient is wanted. It runs once for each time
/// that somebody goes back through the graph.
///
/// # Errors
/// If the device fails.
pub fn tie(
    inputs: &[&Tensor],
    output: impl Into<Output>,
    backward: impl Fn(&Tensor, &[bool]) -> Result<Vec<Option<Tensor>>> + Send + Sync + 'static,
) -> Result<Tensor> {
    let wanted: Vec<bool> = inputs.iter().map(|input| input.track_op()).collect();
    let mut tracked = inputs.iter().zip(&wanted).filter(|(_, wanted)| **wanted);
    let output = output.into();
    let Some((first, _)) = tracked.next() else {
        return match output {
            Output::Tensor(tensor) => Ok(tensor),
            Output::Numbers(numbers, shape) => Tensor::from_vec(numbers, shape, inputs[0].device()),
        };
    };
    let shared = Arc::new(Shared {
        backward: Box::new(backward),
        found: Mutex::new(wanted.iter().map(|_| None).collect()),
        wanted,
    });
    let places: Vec<usize> = (0..inputs.len()).filter(|&place| shared.wanted[place]).collect();
    let mut chain: Option<Tensor> = None;
    for &place in &places[1..] {
        let link = Link {
            shared: shared.clone(),
            place,
        };
        chain = Some(match chain {
            None => inputs[place].apply_op1(link)?,
            Some(chain) => inputs[place].apply_op2(&chain, link)?,
        });
    }
    let result = Tied {
        shared,
        place: places[0],
        output: Mutex::new(Some(output)),
    };
    match chain {
        None => first.apply_op1(result),
        Some(chain) => first.apply_op2(&chain, result),
    }
}

/// What the operations of one [`tie`] share.
struct Shared {
    backward: Box<Backward>,
    wanted: Vec<bool>,
    /// The gradients that the links have not handed out yet.
    found: Mutex<Vec<Option<Tensor>>>,
}

impl Shared {
    fn compute(&self, gradient: &Tensor) -> Result<()> {
        let found = (self.backward)(gradient, &self.wanted)?;
        *self.found.lock().expect("nobody panics with it") = found;
        Ok(())
    }

    fn hand_out(&self, place: usize) -> Result<Option<Tensor>> {
        let gradient = self.found.lock().expect("nobody panics with it")[place].take();
        match gradient {
            Some(gradient) => Ok(Some(gradient)),
            None => candle_core::bail!("no gradient was computed for input {place}"),
        }
    }
}

/// The operation that the result comes from.
struct Tied {
    shared: Arc<Shared>,
    place: usize,
    /// Until candle asks for it, once.
    output: Mutex<Option<Output>>,
}

impl Tied {
    fn output(&self) -> Result<Output> {
        match self.output.lock().expect("nobody panics with it").take() {
            Some(output) => Ok(output),
            None => candle_core::bail!("a tied operation runs once"),
        }
    }

    fn cpu(&self) -> Result<(CpuStorage, Shape)> {
        let tensor = match self.output()? {
            Output::Numbers(numbers, shape) => return Ok((CpuStorage::F32(numbers), shape)),
            Output::Tensor(tensor) => alone(&tensor)?,
        };
        let (storage, layout) = tensor.storage_and_layout();
        match &*storage {
            Storage::Cpu(storage) => Ok((storage.clone(), layout.shape().clone())),
            _ => candle_core::bail!("the output is not on the device of its input"),
        }
    }

    fn cuda(&self) -> Result<(CudaStorage, Shape)> {
        let Output::Tensor(tensor) = self.output()? else {
            candle_core::bail!("numbers are on the CPU alone");
        };
        let tensor = alone(&tensor)?;
        let (storage, layout) = tensor.storage_and_layout();
        match &*storage {
            Storage::Cuda(storage) => Ok((storage.try_clone(layout)?, layout.shape().clone())),
            _ => candle_core::bail!("the output is not on the device of its input"),
        }
    }

    fn gradient(&self, gradient: &Tensor) -> Result<Option<Tensor>> {
        self.shared.compute(&gradient.contiguous()?)?;
        self.shared.hand_out(self.place)
    }
}

/// The tensor as its storage's first numbers, row-major: what candle takes the storage of a result for.
fn alone(tensor: &Tensor) -> Result<Tensor> {
    if tensor.is_contiguous() && tensor.layout().start_offset() == 0 {
        Ok(tensor.clone())
    } else {
        tensor.force_contiguous()
    }
}

impl CustomOp1 for Tied {
    fn name(&self) -> &'static str {
        "tied"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.cpu()
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        self.cuda()
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        self.gradient(gradient)
    }
}

impl CustomOp2 for Tied {
    fn name(&self) -> &'static str {
        "tied"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.cpu()
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        self.cuda()
    }

    fn bwd(
        &self,
        _: &Tensor,
        chain: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((self.gradient(gradient)?, Some(chain.zeros_like()?)))
    }
}

/// A single zero that leads to one further input.
struct Link {
    shared: Arc<Shared>,
    place: usize,
}

impl Link {
    fn cpu() -> (CpuStorage, Shape) {
        (CpuStorage::F32(vec![0.0]), Shape::from(1))
    }

    fn cuda(near: &CudaStorage) -> Result<(CudaStorage, Shape)> {
        let shape = Shape::from(1);
        let zero = near.device().zeros_impl(&shape, candle_core::DType::F32)?;
        Ok((zero, shape))
    }
}

impl CustomOp1 for Link {
    fn name(&self) -> &'static str {
        "link"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(Self::cpu())
    }

    fn cuda_fwd(&self, near: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        Self::cuda(near)
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        self.shared.hand_out(self.place)
    }
}

impl CustomOp2 for Link {
    fn name(&self) -> &'static str {
        "link"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(Self::cpu())
    }

    fn cuda_fwd(&self, near: &CudaStorage, _: &Layout, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        Self::cuda(near)
    }

    fn bwd(&self, _: &Tensor, chain: &Tensor, _: &Tensor, _: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((self.shared.hand_out(self.place)?, Some(chain.zeros_like()?)))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    fn var(numbers: &[f32]) -> Var {
        Var::new(numbers, &Device::Cpu).expect("made")
    }

    fn numbers(tensor: &Tensor) -> Vec<f32> {
        tensor.to_vec1().expect("floats")
    }

    /// The sum of the inputs, each times its place and 1; `alive` lives as long as the graph does.
    fn weighted(inputs: &[&Tensor], alive: Arc<()>) -> Tensor {
        let mut output = inputs[0].detach();
        for (place, input) in inputs.iter().enumerate().skip(1) {
            let more = input.detach().affine((place + 1) as f64, 0.0).expect("computed");
            output = (output + more).expect("computed");
        }
        let tied = tie(inputs, output, move |gradient, wanted| {
            let _held = &alive;
            let gradients = wanted.iter().enumerate().map(|(place, wanted)| {
                let gradient = wanted.then(|| gradient.affine((place + 1) as f64, 0.0));
                gradient.transpose()
            });
            gradients.collect()
        });
        tied.expect("tied")
    }

    #[test]
    fn every_input_that_has_a_graph_gets_its_gradient_each_time() {
        let vars: Vec<Var> = (0..5).map(|i| var(&[i as f32, 1.0])).collect();
        let frozen = Tensor::new(&[9f32, 9.0], &Device::Cpu).expect("made");
        let squared = vars[1].sqr().expect("computed");
        // The frozen one stands in the middle, and one is no variable itself.
        let inputs = [
            vars[0].as_tensor(),
            &frozen,
            &squared,
            vars[2].as_tensor(),
            vars[3].as_tensor(),
            vars[0].as_tensor(),
        ];
        let tied = weighted(&inputs, Arc::new(()));
        assert_eq!(
            numbers(&tied),
            [0.0 + 18.0 + 3.0 + 8.0 + 15.0 + 0.0, 1.0 + 18.0 + 3.0 + 4.0 + 5.0 + 6.0]
        );
        let loss = (&tied * &tied).and_then(|product| product.sum_all()).expect("computed");
        for _ in 0..2 {
            let gradients = loss.backward().expect("differentiable");
            let by_tied: Vec<f32> = numbers(&tied).iter().map(|number| 2.0 * number).collect();
            let expected = |factor: f32| by_tied.iter().map(|number| number * factor).collect::<Vec<f32>>();
            let found = |var: &Var| numbers(gradients.get(var).expect("a gradient"));
            assert_eq!(found(&vars[0]), expected(1.0 + 6.0), "twice among the inputs");
            assert_eq!(found(&vars[1]), expected(3.0 * 2.0), "through its square, at 1");
            assert_eq!((found(&vars[2]), found(&vars[3])), (expected(4.0), expected(5.0)));
            assert!(gradients.get(&vars[4]).is_none() && gradients.get(&frozen).is_none());
        }
    }

    #[test]
    fn what_the_way_back_holds_goes_with_the_graph() {
        let alive = Arc::new(());
        let var = var(&[1.0, 2.0]);
        let tied = weighted(&[var.as_tensor(), var.as_tensor()], alive.clone());
        let gradients = tied.sum_all().and_then(|sum| sum.backward()).expect("differentiable");
        assert_eq!(Arc::strong_count(&alive), 2);
        drop(tied);
        assert_eq!(Arc::strong_count(&alive), 1, "gradients alone hold nothing");
        assert!(gradients.get(&var).is_some());
        let without = weighted(&[&var.detach()], alive.clone());
        assert!(!without.track_op());
        assert_eq!(Arc::strong_count(&alive), 1, "without a graph nothing is held");
    }

    #[test]
    fn a_missing_gradient_is_an_error() {
        let var = var(&[1.0]);
        let tied = tie(&[var.as_tensor()], var.detach(), |_, _| Ok(vec![None])).expect("tied");
        assert!(tied.backward().is_err());
    }
}
