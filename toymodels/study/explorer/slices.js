// Reads the data of the page. A place holds the index of a label for each dimension; its `seed` is an
// index, too, or null for the mean over seeds. Nothing is computed but positions on an axis.
"use strict";

const DATA = JSON.parse(document.getElementById("data").textContent);

const sizeOf = (dim) => DATA.dims[dim].labels.length;
const range = (n) => Array.from({ length: n }, (_, i) => i);
const writeMinus = (text) => text.replaceAll("-", "\u2212");

function findCell(quantity, place) {
  return quantity.dims.reduce((cell, dim) => cell * sizeOf(dim) + place[dim], 0);
}

// The mean with its interval at a place, or the value of a single seed.
function read(quantity, place) {
  const cell = findCell(quantity, place);
  if (!quantity.n.length) return { mean: quantity.mean[cell], low: null, high: null, n: null };
  if (place.seed !== null && quantity.seeds) {
    const value = quantity.seeds[cell * sizeOf("seed") + place.seed];
    return { mean: value, low: null, high: null, n: null };
  }
  const [mean, low, high, n] = ["mean", "low", "high", "n"].map((name) => quantity[name][cell]);
  return { mean, low, high, n };
}

// The values of all seeds at a place.
function readSeeds(quantity, place) {
  if (!quantity.seeds) return [];
  const first = findCell(quantity, place) * sizeOf("seed");
  return quantity.seeds.slice(first, first + sizeOf("seed"));
}

function format(value) {
  if (value === null) return "unknown";
  const size = Math.abs(value);
  const few = size !== 0 && (size < 0.001 || size >= 1e5) ? value.toExponential(2) : value.toFixed(3);
  return writeMinus(Number.isInteger(value) && size >= 10 ? String(value) : few);
}

// What is known about a value beside it, in words.
function describeValue(quantity, found, place) {
  if (place.seed !== null && quantity.n.length) return `seed ${DATA.dims.seed.labels[place.seed]} alone`;
  if (found.n === null) return "no seeds: no interval";
  if (found.low === null) return `n = ${found.n}: no interval`;
  return `95 % interval ${format(found.low)} to ${format(found.high)}, n = ${found.n} ${quantity.counted}`;
}

const begin = (text) => text[0].toUpperCase() + text.slice(1);

function nameLabel(dim, i) {
  const { label, labels, numeric } = DATA.dims[dim];
  return `${label}${dim === "seed" ? " " : numeric ? " = " : ": "}${labels[i]}`;
}

// Where the labels of a dimension stand on an axis.
function findPositions(dim, spacing) {
  const values = DATA.dims[dim].values;
  if (spacing === "angle") return values.map((v) => (Math.acos(v) * 180) / Math.PI);
  if (spacing === "logarithmic") return values.map((v) => Math.log10(v));
  return spacing === "value" ? values : range(sizeOf(dim));
}

// The indices of a dimension's labels from left to right.
function findOrder(dim) {
  const at = findPositions(dim, DATA.dims[dim].spacing);
  return range(sizeOf(dim)).sort((a, b) => at[a] - at[b]);
}

function listTicks(low, high, count) {
  const rough = (high - low) / Math.max(count, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  return range(Math.floor(high / step + 1e-9) - first + 1).map((i) => (first + i) * step);
}

const formatTick = (value) => writeMinus(String(Number(value.toPrecision(6))));

// Ticks of a logarithmic axis between two exponents: [position, label] each.
function listLogTicks(low, high, count) {
  const few = high - low > count / 2;
  const decades = range(Math.floor(high) - Math.floor(low) + 1).map((i) => Math.floor(low) + i);
  const skip = Math.ceil(decades.length / Math.max(count, 1));
  const values = decades
    .filter((_, i) => i % skip === 0)
    .flatMap((d) => (few ? [1] : [1, 2, 5]).map((k) => k * 10 ** d));
  const kept = values.filter((v) => low <= Math.log10(v) + 1e-9 && Math.log10(v) <= high + 1e-9);
  const shown = kept.length > 1 ? kept : listTicks(10 ** low, 10 ** high, 4).filter((v) => v > 0);
  return shown.map((v) => [Math.log10(v), formatTick(v)]);
}

const OVERLAPS = [1, 0.98, 0.9, 0.8, 0.65, 0.5, 0.25, 0, -0.25, -0.5, -0.8, -1];

// Ticks along a dimension between two positions of its axis, about `count` of them.
function listAxisTicks(dim, low, high, count) {
  const { spacing, labels, values } = DATA.dims[dim];
  const at = findPositions(dim, spacing);
  const own = range(labels.length).map((i) => [at[i], labels[i]]);
  if (spacing === "even") return own;
  const inside = ([p]) => low - 1e-9 <= p && p <= high + 1e-9;
  if (spacing === "angle") {
    const angles = OVERLAPS.map((v) => [(Math.acos(v) * 180) / Math.PI, formatTick(v)]).filter(inside);
    return spread(angles.length > 2 ? angles : own.filter(inside), low, high, count);
  }
  const kept = spread(own.filter(inside), low, high, count);
  if (labels.length <= 12 && kept.length > 1) return kept;
  if (spacing === "logarithmic") return listLogTicks(low, high, count);
  const ticks = listTicks(low, high, count).map((v) => [v, formatTick(v)]);
  return values.every(Number.isInteger) ? ticks.filter(([v]) => Number.isInteger(v)) : ticks;
}

// As many of the ticks as do not crowd each other.
function spread(ticks, low, high, count) {
  const apart = (high - low) / Math.max(count * 1.6, 1);
  return [...ticks]
    .sort(([a], [b]) => a - b)
    .reduce((kept, tick) => {
      return kept.length && tick[0] - kept.at(-1)[0] < apart ? kept : [...kept, tick];
    }, []);
}
