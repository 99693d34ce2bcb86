//! The text of a filter → a predicate.

use frazil_log::schema::{Schema, TimestampUnit, Type};
use sqlparser::ast::{BinaryOperator, DataType, Expr, Ident, UnaryOperator, Value as SqlValue};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use super::literal::{Literal, compare, one_of, prefix};
use super::{ColumnRef, Comparison, Predicate};
use crate::consume::reader::OutputColumn;
use crate::error::Problem;
use crate::produce::decode::errors::shorten;

/// The most bytes of a filter: chains of terms nest as deep as they are long in the parser's tree.
const TEXT_BYTES_MAX: usize = 8 << 10;

/// The deepest nesting of parentheses and signs.
const DEPTH_MAX: usize = 50;

/// The most comparisons and values of lists.
const TERMS_MAX: usize = 1000;

/// Reads a filter.
pub(super) fn parse(text: &str, schema: &Schema) -> Result<Predicate, Problem> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Problem::malformed(format!(
            "filter: at most {TEXT_BYTES_MAX} bytes, found {}",
            text.len()
        )));
    }
    let expression = expression(text).map_err(|error| malformed(text, &error))?;
    Resolver { schema, terms: 0 }.predicate(&expression)
}

fn expression(text: &str) -> Result<Expr, ParserError> {
    let dialect = GenericDialect {};
    let mut parser = Parser::new(&dialect).with_recursion_limit(DEPTH_MAX).try_with_sql(text)?;
    let expression = parser.parse_expr()?;
    let rest = parser.next_token();
    if rest.token == Token::EOF {
        return Ok(expression);
    }
    let message = format!("Expected: the end of the filter, found: {}{}", rest.token, rest.span.start);
    Err(ParserError::ParserError(message))
}

/// The parser's words, and the line and column at which they say that it stopped: nothing said is the end.
fn malformed(text: &str, error: &ParserError) -> Problem {
    let message = match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message.clone(),
        ParserError::RecursionLimitExceeded => format!("nested deeper than {DEPTH_MAX}"),
    };
    let number = |name: &str| {
        let (_, rest) = message.rsplit_once(name)?;
        rest.split(|character: char| !character.is_ascii_digit()).next()?.parse::<u64>().ok()
    };
    let end = || {
        let last = text.rsplit('\n').next().unwrap_or_default();
        (text.matches('\n').count() as u64 + 1, last.chars().count() as u64 + 1)
    };
    let (line, column) = number("Line: ").zip(number("Column: ")).unwrap_or_else(end);
    let problem = Problem::malformed(format!("filter, line {line}, column {column}: {}", shorten(&message)));
    problem.with("line", line).with("column", column)
}

struct Resolver<'s> {
    schema: &'s Schema,
    terms: usize,
}

impl Resolver<'_> {
    fn predicate(&mut self, expression: &Expr) -> Result<Predicate, Problem> {
        match expression {
            Expr::Nested(inner) => self.predicate(inner),
            Expr::BinaryOp { op: op @ (BinaryOperator::And | BinaryOperator::Or), .. } => {
                self.chain(expression, op)
            }
            Expr::BinaryOp { left, op, right } => match comparison(op) {
                Some(op) => self.comparison(expression, left, op, right),
                None => Err(unsupported(expression)),
            },
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => {
                Ok(Predicate::Not(Box::new(self.predicate(expr)?)))
            }
            Expr::IsNull(column) => Ok(Predicate::IsNull(self.column(expression, column)?)),
            Expr::IsNotNull(column) => {
                Ok(Predicate::Not(Box::new(Predicate::IsNull(self.column(expression, column)?))))
            }
            Expr::InList { expr, list, negated } => {
                let column = self.column(expression, expr)?;
                self.count(list.len())?;
                let values: Result<Vec<_>, _> = list.iter().map(literal).collect();
                Ok(negate(*negated, one_of(&column, &values?)?))
            }
            Expr::Between { expr, negated, low, high } => {
                let column = self.column(expression, expr)?;
                let low = compare(&column, Comparison::GreaterOrEqual, &literal(low)?)?;
                let high = compare(&column, Comparison::LessOrEqual, &literal(high)?)?;
                Ok(negate(*negated, Predicate::All(vec![low, high])))
            }
            Expr::Like { negated, any: false, expr, pattern, escape_char: None } => {
                let column = self.column(expression, expr)?;
                Ok(negate(*negated, prefix(&column, &literal(pattern)?)?))
            }
            Expr::Identifier(_) => {
                let column = self.column(expression, expression)?;
                compare(&column, Comparison::Equal, &Literal::Boolean(true))
            }
            Expr::Value(value) => match value.value {
                SqlValue::Boolean(value) => Ok(Predicate::Constant(Some(value))),
                SqlValue::Null => Ok(Predicate::Constant(None)),
                _ => Err(unsupported(expression)),
            },
            _ => Err(unsupported(expression)),
        }
    }

    /// `a AND b AND c`, which the parser nests to the left, one in another.
    fn chain(&mut self, expression: &Expr, joint: &BinaryOperator) -> Result<Predicate, Problem> {
        let (mut rest, mut last_first) = (expression, Vec::new());
        while let Expr::BinaryOp { left, op, right } = rest
            && op == joint
        {
            last_first.push(&**right);
            rest = left;
        }
        last_first.push(rest);
        let parts =
            last_first.into_iter().rev().map(|part| self.predicate(part)).collect::<Result<_, _>>()?;
        Ok(if *joint == BinaryOperator::And { Predicate::All(parts) } else { Predicate::Any(parts) })
    }

    fn comparison(
        &mut self,
        whole: &Expr,
        left: &Expr,
        op: Comparison,
        right: &Expr,
    ) -> Result<Predicate, Problem> {
        match (is_column(left), is_column(right)) {
            (true, false) => compare(&self.column(whole, left)?, op, &literal(right)?),
            (false, true) => compare(&self.column(whole, right)?, op.flipped(), &literal(left)?),
            _ => Err(unsupported(whole)),
        }
    }

    fn column(&mut self, whole: &Expr, expression: &Expr) -> Result<ColumnRef, Problem> {
        self.count(1)?;
        match expression {
            Expr::Nested(inner) => self.column(whole, inner),
            Expr::Identifier(name) => self.named(name),
            _ => Err(unsupported(whole)),
        }
    }

    /// A column by its name, in any case; written as it stands, if two differ by case only.
    fn named(&self, name: &Ident) -> Result<ColumnRef, Problem> {
        let user = |same: &dyn Fn(&str) -> bool| {
            let at = self.schema.columns.iter().position(|column| same(&column.name))?;
            let column = &self.schema.columns[at];
            let source = OutputColumn::User(at);
            Some(ColumnRef { name: column.name.clone(), source, ty: column.ty.clone() })
        };
        let name = name.value.as_str();
        user(&|column| column == name)
            .or_else(|| user(&|column| column.to_lowercase() == name.to_lowercase()))
            .or_else(|| pseudo(name))
            .ok_or_else(|| {
                let names: Vec<_> = self.schema.columns.iter().map(|column| column.name.as_str()).collect();
                Problem::unsupported(format!(
                    "filter: the table has no column {name:?}; it has {}",
                    shorten_list(&names)
                ))
            })
    }

    fn count(&mut self, terms: usize) -> Result<(), Problem> {
        self.terms = self.terms.saturating_add(terms);
        if self.terms > TERMS_MAX {
            return Err(Problem::malformed(format!("filter: more than {TERMS_MAX} comparisons and values")));
        }
        Ok(())
    }
}

fn pseudo(name: &str) -> Option<ColumnRef> {
    let (source, ty) = match name.to_ascii_lowercase().as_str() {
        "__bucket" => (OutputColumn::Bucket, Type::Int),
        "__offset" => (OutputColumn::Offset, Type::Bigint),
        "__timestamp" => {
            (OutputColumn::Timestamp, Type::Timestamp { unit: TimestampUnit::Micros, zone: true })
        }
        "__op" => (OutputColumn::Op, Type::String),
        _ => return None,
    };
    Some(ColumnRef { name: name.to_ascii_lowercase(), source, ty })
}

fn comparison(op: &BinaryOperator) -> Option<Comparison> {
    Some(match op {
        BinaryOperator::Eq => Comparison::Equal,
        BinaryOperator::NotEq => Comparison::NotEqual,
        BinaryOperator::Lt => Comparison::Less,
        BinaryOperator::LtEq => Comparison::LessOrEqual,
        BinaryOperator::Gt => Comparison::Greater,
        BinaryOperator::GtEq => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

fn is_column(expression: &Expr) -> bool {
    match expression {
        Expr::Nested(inner) => is_column(inner),
        Expr::Identifier(_) => true,
        _ => false,
    }
}

fn literal(expression: &Expr) -> Result<Literal, Problem> {
    let wrong = || unsupported(expression);
    match expression {
        Expr::Nested(inner) => literal(inner),
        Expr::UnaryOp { op: op @ (UnaryOperator::Minus | UnaryOperator::Plus), expr } => match literal(expr)?
        {
            Literal::Number(number) if *op == UnaryOperator::Plus => Ok(Literal::Number(number)),
            Literal::Number(number) => Ok(Literal::Number(match number.strip_prefix('-') {
                Some(positive) => positive.to_owned(),
                None => format!("-{number}"),
            })),
            _ => Err(wrong()),
        },
        Expr::TypedString(typed) => {
            let text = typed.value.value.clone().into_string().ok_or_else(wrong)?;
            match typed.data_type {
                DataType::Date => Ok(Literal::Date(text)),
                DataType::Time(..) => Ok(Literal::Time(text)),
                DataType::Timestamp(..) => Ok(Literal::Timestamp(text)),
                _ => Err(wrong()),
            }
        }
        Expr::Value(value) => match &value.value {
            SqlValue::Null => Ok(Literal::Null),
            SqlValue::Boolean(value) => Ok(Literal::Boolean(*value)),
            SqlValue::Number(number, false) => Ok(Literal::Number(number.clone())),
            SqlValue::SingleQuotedString(text) => Ok(Literal::Text(text.clone())),
            SqlValue::HexStringLiteral(digits) => Literal::hex(digits).ok_or_else(wrong),
            _ => Err(wrong()),
        },
        _ => Err(wrong()),
    }
}

fn negate(negated: bool, predicate: Predicate) -> Predicate {
    if negated { Predicate::Not(Box::new(predicate)) } else { predicate }
}

fn unsupported(expression: &Expr) -> Problem {
    Problem::unsupported(format!(
        "filter: {} is not supported: write comparisons of a column with a literal, AND, OR, NOT, IN, BETWEEN, IS [NOT] NULL, \
         LIKE 'prefix%'",
        shorten(&expression.to_string())
    ))
}

fn shorten_list(names: &[&str]) -> String {
    const SHOWN: usize = 20;
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(SHOWN) {
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} more"),
    }
}
