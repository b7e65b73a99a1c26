//! Every operation against a plain reference, on odd sizes, views of many layouts, every element
//! type, instruction set and number of threads.

mod arithmetic;
mod gated;
mod movement;
mod normalization;
mod products;
mod quantization;
mod rotary;
mod values;
