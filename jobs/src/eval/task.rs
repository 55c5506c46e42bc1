//! What an evaluation asks: which item should find which, among which.

use std::collections::HashMap;
use std::hash::Hash;

/// A row of a file of pairs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row<T> {
    /// What is searched with.
    pub query: T,
    /// What it should find. At least one.
    pub positives: Vec<T>,
    /// What it should not.
    pub negatives: Vec<T>,
    /// Among what it is to look, beside its positives, where it looks among its own; the negatives if there are none.
    pub candidates: Vec<T>,
}

/// Queries and what they should find, each distinct item once.
#[derive(Debug, Clone)]
pub struct Task<T> {
    items: Vec<T>,
    questions: Vec<Question>,
    corpus: Vec<usize>,
}

/// A query. Items are numbers in [`Task::items`], each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What is searched with.
    pub query: usize,
    /// What it should find, in ascending order.
    pub positives: Vec<usize>,
    /// Among what it looks beside them, where it looks among its own. May be empty.
    pub others: Vec<usize>,
}

impl<T: Clone + Eq + Hash> Task<T> {
    /// Collects what `rows` ask. Rows with an equal query are one: it should find the positives of all of them. What is searched
    /// is every positive, negative and candidate of the rows, and `corpus`.
    pub fn new(rows: impl IntoIterator<Item = Row<T>>, corpus: impl IntoIterator<Item = T>) -> Self {
        let mut numbers = Numbers::default();
        let (mut found, mut questions) = (Vec::new(), Vec::<Question>::new());
        let mut by_query = HashMap::new();
        for row in rows {
            let query = numbers.of(row.query);
            let [positives, negatives, candidates] = [row.positives, row.negatives, row.candidates]
                .map(|items| items.into_iter().map(|item| numbers.of(item)).collect::<Vec<_>>());
            found.extend([&positives, &negatives, &candidates].into_iter().flatten().copied());
            let place = *by_query.entry(query).or_insert_with(|| {
                questions.push(Question {
                    query,
                    positives: Vec::new(),
                    others: Vec::new(),
                });
                questions.len() - 1
            });
            let question = &mut questions[place];
            question.positives.extend(positives);
            question
                .others
                .extend(if candidates.is_empty() { negatives } else { candidates });
        }
        found.extend(corpus.into_iter().map(|item| numbers.of(item)));
        for question in &mut questions {
            distinct(&mut question.positives);
            distinct(&mut question.others);
            let Question { positives, others, .. } = question;
            others.retain(|other| positives.binary_search(other).is_err());
        }
        distinct(&mut found);
        Self {
            items: numbers.items,
            questions,
            corpus: found,
        }
    }
}

impl<T> Task<T> {
    /// Every distinct item, queries and others, in the order in which the rows name them.
    pub fn items(&self) -> &[T] {
        &self.items
    }

    /// Every distinct query.
    pub fn questions(&self) -> &[Question] {
        &self.questions
    }

    /// What is searched, in ascending order.
    pub fn corpus(&self) -> &[usize] {
        &self.corpus
    }
}

/// Sorted, and each once.
fn distinct(numbers: &mut Vec<usize>) {
    numbers.sort_unstable();
    numbers.dedup();
}

/// Numbers items as they come.
struct Numbers<T> {
    items: Vec<T>,
    known: HashMap<T, usize>,
}

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            known: HashMap::new(),
        }
    }
}

impl<T: Clone + Eq + Hash> Numbers<T> {
    fn of(&mut self, item: T) -> usize {
        *self.known.entry(item).or_insert_with_key(|item| {
            self.items.push(item.clone());
            self.items.len() - 1
        })
    }
}
