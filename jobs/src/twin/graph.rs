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
