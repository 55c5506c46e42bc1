//! Moves calls of the service's functions out of expressions, into [`CallNode`]s.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Case, Expr, Extension, LogicalPlan, Operator, Projection, cast, lit};

use super::Function;
use super::node::{Call, CallNode};

/// `plan` with every call made by a [`CallNode`] below the node that used it. `plan` must be analysed (types coerced)
/// already.
///
/// # Errors
/// A plan error if a call stands where it cannot be computed beforehand, such as the condition of a join.
pub fn extract(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut columns = 0;
    Ok(plan
        .transform_up_with_subqueries(|node| extract_node(node, &mut columns))?
        .data)
}

/// The functions that an extracted plan calls anywhere.
pub fn called(plan: &LogicalPlan) -> Result<BTreeSet<Function>> {
    let mut called = BTreeSet::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Extension(extension) = node
            && let Some(node) = extension.node.as_any().downcast_ref::<CallNode>()
        {
            called.extend(node.calls().iter().map(|call| call.function));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(called)
}

/// The function that is called somewhere in `expression`.
fn call_in(expression: &Expr) -> Option<Function> {
    let mut found = None;
    let visited = expression.apply(|part| {
        found = Function::of(part);
        Ok(match found {
            Some(_) => TreeNodeRecursion::Stop,
            None => TreeNodeRecursion::Continue,
        })
    });
    visited.ok().and(found)
}

fn extract_node(plan: LogicalPlan, columns: &mut usize) -> Result<Transformed<LogicalPlan>> {
    let expressions = plan.expressions();
    let Some(function) = expressions.iter().find_map(call_in) else {
        return Ok(Transformed::no(plan));
    };
    let inputs = plan.inputs();
    let &[input] = inputs.as_slice() else {
        return plan_err!(
            "{} cannot stand in a {}; compute it in a subquery below and use its column",
            function.name(),
            plan.display().to_string().split(':').next().unwrap_or("join")
        );
    };
    let mut calls = Calls {
        layers: Vec::new(),
        columns,
    };
    let names = NamePreserver::new(&plan);
    let expressions = expressions
        .into_iter()
        .map(|expression| {
            let name = names.save(&expression);
            Ok(name.restore(calls.take_out(expression, &[])?.expression))
        })
        .collect::<Result<Vec<_>>>()?;
    let mut called = input.clone();
    for layer in calls.layers {
        called = LogicalPlan::Extension(Extension {
            node: Arc::new(CallNode::try_new(called, layer)?),
        });
    }
    let extracted = plan.with_new_exprs(expressions, vec![called])?;
    // Nodes that hand on their input's columns now hand on the results too.
    if extracted.schema().fields().len() == plan.schema().fields().len() {
        return Ok(Transformed::yes(extracted));
    }
    let original = plan.schema().columns().into_iter().map(Expr::Column).collect();
    Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(
        original,
        Arc::new(extracted),
    )?)))
}

/// An expression whose calls are columns now, and how many [`CallNode`]s must lie below it.
struct Extracted {
    expression: Expr,
    depth: usize,
}

/// A condition around a call: the call is needed where none of `blocked` is true and `passed` (if there is one) is. It
/// keeps the shape and order of the `CASE` that it comes from, so that a condition is evaluated only where it was.
#[derive(Clone)]
struct Guard {
    base: Option<Expr>,
    blocked: Vec<Expr>,
    passed: Option<Expr>,
    depth: usize,
}

impl Guard {
    fn wrap(&self, url: Expr) -> Expr {
        if self.blocked.is_empty() && self.passed.is_none() {
            return url;
        }
        let nothing = || Box::new(lit(ScalarValue::Utf8(None)));
        let mut branches: Vec<_> = self
            .blocked
            .iter()
            .map(|condition| (Box::new(condition.clone()), nothing()))
            .collect();
        let other = match &self.passed {
            Some(condition) => {
                branches.push((Box::new(condition.clone()), Box::new(url)));
                None
            }
            None => Some(Box::new(url)),
        };
        Expr::Case(Case::new(self.base.clone().map(Box::new), branches, other))
    }
}

/// The calls found in one node's expressions. A call whose arguments hold calls lies a layer above them.
struct Calls<'a> {
    layers: Vec<Vec<Call>>,
    columns: &'a mut usize,
}

impl Calls<'_> {
    fn take_out(&mut self, expression: Expr, guards: &[Guard]) -> Result<Extracted> {
        let function = Function::of(&expression);
        match (expression, function) {
            (Expr::ScalarFunction(call), Some(function)) => self.take_out_call(function, call, guards),
            (Expr::Case(case), _) => self.take_out_case(case, guards),
            (Expr::ScalarFunction(mut function), None) if function.func.name() == "coalesce" => {
                let mut blocked = Vec::new();
                let mut depth = 0;
                for argument in &mut function.args {
                    let guard = Guard {
                        base: None,
                        blocked: blocked.clone(),
                        passed: None,
                        depth,
                    };
                    let taken = self.take_out_guarded(std::mem::take(argument), guards, guard)?;
                    depth = depth.max(taken.depth);
                    blocked.push(taken.expression.clone().is_not_null());
                    *argument = taken.expression;
                }
                Ok(Extracted {
                    expression: Expr::ScalarFunction(function),
                    depth,
                })
            }
            (Expr::BinaryExpr(mut binary), _) if matches!(binary.op, Operator::And | Operator::Or) => {
                let left = self.take_out(*binary.left, guards)?;
                let decided = match binary.op {
                    Operator::And => left.expression.clone().is_false(),
                    _ => left.expression.clone().is_true(),
                };
                let guard = Guard {
                    base: None,
                    blocked: vec![decided],
                    passed: None,
                    depth: left.depth,
                };
                let right = self.take_out_guarded(*binary.right, guards, guard)?;
                binary.left = Box::new(left.expression);
                binary.right = Box::new(right.expression);
                Ok(Extracted {
                    expression: Expr::BinaryExpr(binary),
                    depth: left.depth.max(right.depth),
                })
            }
            (other, _) => {
                let mut depth = 0;
                let expression = other.map_children(|child| {
                    let taken = self.take_out(child, guards)?;
                    depth = depth.max(taken.depth);
                    Ok(Transformed::yes(taken.expression))
                })?;
                Ok(Extracted {
                    expression: expression.data,
                    depth,
                })
            }
        }
    }

    fn take_out_guarded(&mut self, expression: Expr, outer: &[Guard], guard: Guard) -> Result<Extracted> {
        let guards: Vec<Guard> = outer.iter().cloned().chain([guard]).collect();
        self.take_out(expression, &guards)
    }

    fn take_out_case(&mut self, case: Case, guards: &[Guard]) -> Result<Extracted> {
        let mut depth = 0;
        let base = match case.expr {
            Some(base) => {
                let taken = self.take_out(*base, guards)?;
                depth = taken.depth;
                Some(taken.expression)
            }
            None => None,
        };
        let mut blocked: Vec<Expr> = Vec::new();
        let mut branches = Vec::with_capacity(case.when_then_expr.len());
        for (condition, result) in case.when_then_expr {
            let guard = Guard {
                base: base.clone(),
                blocked: blocked.clone(),
                passed: None,
                depth,
            };
            let condition = self.take_out_guarded(*condition, guards, guard.clone())?;
            depth = depth.max(condition.depth);
            let guard = Guard {
                passed: Some(condition.expression.clone()),
                depth,
                ..guard
            };
            let result = self.take_out_guarded(*result, guards, guard)?;
            depth = depth.max(result.depth);
            blocked.push(condition.expression.clone());
            branches.push((Box::new(condition.expression), Box::new(result.expression)));
        }
        let other = match case.else_expr {
            Some(other) => {
                let guard = Guard {
                    base: base.clone(),
                    blocked,
                    passed: None,
                    depth,
                };
                let taken = self.take_out_guarded(*other, guards, guard)?;
                depth = depth.max(taken.depth);
                Some(Box::new(taken.expression))
            }
            None => None,
        };
        Ok(Extracted {
            expression: Expr::Case(Case::new(base.map(Box::new), branches, other)),
            depth,
        })
    }

    fn take_out_call(&mut self, function: Function, call: ScalarFunction, guards: &[Guard]) -> Result<Extracted> {
        let mut depth = guards.iter().map(|guard| guard.depth).max().unwrap_or(0);
        let mut arguments = Vec::with_capacity(function.arguments().len());
        for argument in call.args {
            let taken = self.take_out(argument, guards)?;
            depth = depth.max(taken.depth);
            arguments.push(cast(taken.expression, DataType::Utf8));
        }
        let Some(first) = arguments.first_mut() else {
            return plan_err!("{} needs a url: {}(url)", function.name(), function.name());
        };
        // NULL there makes no call.
        let url = std::mem::take(first);
        *first = guards.iter().rev().fold(url, |url, guard| guard.wrap(url));
        arguments.resize(function.arguments().len(), lit(ScalarValue::Utf8(None)));
        let column = self.column(depth, function, arguments);
        Ok(Extracted {
            expression: Expr::Column(Column::from_name(column)),
            depth: depth + 1,
        })
    }

    /// The column of the call in the layer `depth`; equal calls share one.
    fn column(&mut self, depth: usize, function: Function, arguments: Vec<Expr>) -> String {
        while self.layers.len() <= depth {
            self.layers.push(Vec::new());
        }
        let layer = &mut self.layers[depth];
        if let Some(call) = layer
            .iter()
            .find(|call| call.function == function && call.arguments == arguments)
        {
            return call.column.clone();
        }
        let column = format!("__sightstream_call_{}", self.columns);
        *self.columns += 1;
        layer.push(Call {
            function,
            arguments,
            column: column.clone(),
        });
        column
    }
}
