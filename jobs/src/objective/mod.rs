//! The contrastive loss, and its gradients in bounded memory (GradCache).
