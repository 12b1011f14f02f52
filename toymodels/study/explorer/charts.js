// Fills the two plots from the state of the page.

const MOST_LABELLED = 24; // lines that have a button each
const MISSING = NaN;
const orMissing = (value) => (value === null ? MISSING : value);

// The ways of the vertical axis.
const up = (value) =>
  state.vertical === "logarithmic" ? (value > 0 ? Math.log10(value) : MISSING) : orMissing(value);

function setTicks(axis, ticks) {
  axis.ticker.ticks = ticks.map(([position]) => position);
  axis.major_label_overrides = new Map(ticks);
}

function setRange(axis, start, end) {
  axis.setv({ start, end, reset_start: start, reset_end: end });
}

// Names below an axis lie flat where there is room, else aslant or upright.
function turnLabels(axis, ticks, width) {
  const longest = Math.max(...ticks.map(([, label]) => label.length)) * 7 + 10;
  const each = width / Math.max(ticks.length, 1);
  axis.major_label_orientation = longest < each ? "horizontal" : each > 26 ? Math.PI / 5 : Math.PI / 2;
  return longest < each ? 0 : Math.min(longest * (each > 26 ? 0.6 : 1), 170);
}

// The lines of the slice that is shown: each with its index along the dimension of the lines.
function sliceLines(place) {
  const { quantity, x, lines } = state;
  const order = findOrder(x);
  return (lines ? range(sizeOf(lines)) : [0]).map((i) => {
    const own = lines ? { ...place, [lines]: i } : place;
    const points = order.map((k) => {
      const at = { ...own, [x]: k };
      return { k, place: at, ...read(quantity, at) };
    });
    return { i, place: own, points };
  });
}

function look(i) {
  const dim = state.lines && DATA.dims[state.lines];
  const colour = dim ? dim.colours[i] : "#0072B2";
  const repeated = dim && dim.colours.indexOf(colour) !== i;
  const faint = state.lines && shownFocus() !== null && shownFocus() !== i;
  return { colour, dash: repeated ? [7, 4] : [], alpha: faint ? 0.16 : 1 };
}

// A single line has the colours of the models where they lie along the axis.
function pointColour(i, k) {
  const { colours, models } = DATA.dims[state.x];
  return !state.lines && models ? colours[k] : look(i).colour;
}

function drawCurves(lines, place) {
  const { quantity, x, seeds } = state;
  const at = findPositions(x, DATA.dims[x].spacing);
  const joined = DATA.dims[x].numeric && x !== "seed";
  const many = lines.length > MOST_LABELLED;
  const table = {};
  for (const name of Object.keys(sources)) table[name] = {};
  const add = (name, row) => {
    for (const [column, value] of Object.entries(row)) (table[name][column] ??= []).push(value);
  };
  const gap = Math.min(0.13, 0.8 / lines.length);
  const side = (line) => (joined || lines.length < 2 ? 0 : gap * (line.i - (lines.length - 1) / 2));
  for (const line of lines) {
    const { colour, dash, alpha } = look(line.i);
    const xs = line.points.map(({ k }) => at[k] + side(line));
    const ys = line.points.map(({ mean }) => up(mean));
    if (joined) {
      add("lines", { xs, ys, colour, dash, alpha });
      if (!many || shownFocus() === line.i) {
        for (const [from, to] of listRuns(line.points)) {
          const run = line.points.slice(from, to);
          const lows = run.map(({ low }) => up(low));
          const floor = Math.min(...lows.filter(Number.isFinite), ...ys.filter(Number.isFinite));
          add("bands", {
            xs: [...xs.slice(from, to), ...xs.slice(from, to).reverse()],
            ys: [
              ...run.map(({ high }) => up(high)),
              ...lows.map((y) => (Number.isFinite(y) ? y : floor)).reverse(),
            ],
            colour,
            alpha: alpha < 1 ? 0.03 : 0.16,
          });
        }
      }
    }
    if (seeds === "every" && quantity.seeds && x !== "seed") {
      const values = line.points.map((point) => readSeeds(quantity, point.place));
      for (const s of range(sizeOf("seed"))) {
        const thread = values.map((row) => up(row[s]));
        if (joined) add("threads", { xs, ys: thread, colour, alpha: alpha * 0.4 });
        else
          thread.forEach((y, j) =>
            add("threads", {
              xs: [xs[j] - gap / 3, xs[j] + gap / 3],
              ys: [y, y],
              colour,
              alpha: alpha * 0.5,
            }),
          );
      }
    }
    line.points.forEach((point, j) => {
      const colour = pointColour(line.i, point.k);
      if (!joined && point.low !== null)
        add("bars", { x: xs[j], low: up(point.low), high: up(point.high), colour, alpha });
      add("points", {
        x: xs[j],
        y: ys[j],
        colour,
        alpha: joined && line.points.length > 60 ? 0 : alpha,
        line: state.lines ? nameLabel(state.lines, line.i) : quantity.label,
        place: nameLabel(x, point.k),
        value: `${quantity.label}: ${format(point.mean)}`,
        more: describeValue(quantity, point, point.place),
      });
      if (point.k === place[x] && line.i === (state.lines ? place[state.lines] : 0)) {
        add("chosen", { x: xs[j], y: ys[j], colour });
      }
    });
  }
  for (const [name, source] of Object.entries(sources)) {
    source.data = Object.fromEntries(Object.keys(source.data).map((c) => [c, table[name][c] ?? []]));
  }
  const all = [...at].sort((a, b) => a - b);
  const pad = DATA.dims[x].spacing === "even" ? 0.5 : (all.at(-1) - all[0]) * 0.03 || 0.5;
  setRange(plots.curves.x_range, all[0] - pad, all.at(-1) + pad);
  setRange(plots.curves.y_range, ...findHeights(lines));
  plots.curves.below[0].axis_label =
    DATA.dims[x].label + (DATA.dims[x].spacing === "angle" ? " (spaced by angle)" : "");
  plots.curves.left[0].axis_label = quantity.label + (quantity.unit === "1" ? "" : ` (${quantity.unit})`);
  tickCurves();
}

// Stretches of points that have an interval: [from, to) each.
function listRuns(points) {
  const runs = [];
  points.forEach(({ low }, j) => {
    if (low === null) return;
    if (runs.length && runs.at(-1)[1] === j) runs.at(-1)[1] = j + 1;
    else runs.push([j, j + 1]);
  });
  return runs;
}

// The lower and upper end of the vertical axis, with some room.
function findHeights(lines) {
  const { quantity, seeds, vertical } = state;
  let values = lines.flatMap(({ points }) => points.flatMap(({ mean, low, high }) => [mean, low, high]));
  if (seeds === "every")
    values.push(...lines.flatMap(({ points }) => points.flatMap((p) => readSeeds(quantity, p.place))));
  if (vertical === "all") values = [...quantity.mean, ...quantity.low, ...quantity.high, ...values];
  const finite = values
    .filter((v) => v !== null)
    .map(up)
    .filter(Number.isFinite);
  if (!finite.length) return [0, 1];
  const [low, high] = finite.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
  const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
  return [low - room, high + room];
}

// Ticks of what is visible, also after a zoom.
function tickCurves() {
  const { x_range, y_range, below, left } = plots.curves;
  const width = document.getElementById("curves-plot").clientWidth - 70;
  const ticks = listAxisTicks(state.x, x_range.start, x_range.end, width / 60);
  setTicks(below[0], ticks);
  plots.curves.height = 340 + 0.9 * turnLabels(below[0], ticks, width);
  const list =
    state.vertical === "logarithmic"
      ? listLogTicks
      : (a, b, n) => listTicks(a, b, n).map((v) => [v, formatTick(v)]);
  setTicks(left[0], list(y_range.start, y_range.end, 6));
}

// The axes of the map. Many names stand upwards, where they can be read.
function mapAxes() {
  const { x, rows } = state;
  const flipped = !DATA.dims[x].numeric && sizeOf(x) > 8 && sizeOf(rows) < sizeOf(x);
  const [across, upwards] = flipped ? [rows, x] : [x, rows];
  const order = findOrder(upwards); // numbers rise, names are read from above
  return {
    across: { dim: across, order: findOrder(across) },
    upwards: { dim: upwards, order: DATA.dims[upwards].numeric ? order : order.reverse() },
  };
}

function markCell(place) {
  const { across, upwards } = mapAxes();
  mapSources.cell.data = {
    x: [across.order.indexOf(place[across.dim])],
    y: [upwards.order.indexOf(place[upwards.dim])],
  };
}

function drawMap(place) {
  const { quantity, x, rows } = state;
  const { across, upwards } = mapAxes();
  const found = upwards.order.flatMap((r, y) =>
    across.order.map((k, i) => {
      const at = { ...place, [upwards.dim]: r, [across.dim]: k };
      return { i, y, at, ...read(quantity, at) };
    }),
  );
  const known = found.map(({ mean }) => mean).filter((v) => v !== null);
  const [low, high] = [
    known.reduce((a, b) => Math.min(a, b), Infinity),
    known.reduce((a, b) => Math.max(a, b), -Infinity),
  ];
  const width = document.getElementById("map-plot").clientWidth - 120;
  const size = high - low || Math.max(Math.abs(low), Math.abs(high)) || 1;
  const digits = Math.min(Math.max(1 - Math.floor(Math.log10(size * 1.005)), 0), 4);
  const roomy = width / across.order.length > 7 * (digits + 2 + (low < 0)) + 6 && upwards.order.length < 24;
  const cells = { x: [], y: [], value: [], place: [], row: [], said: [], more: [] };
  const inks = { light: { x: [], y: [], text: [] }, dark: { x: [], y: [], text: [] } };
  for (const { i, y, at, mean, ...others } of found) {
    cells.x.push(i);
    cells.y.push(y);
    cells.value.push(orMissing(mean));
    cells.place.push(nameLabel(x, at[x]));
    cells.row.push(nameLabel(rows, at[rows]));
    cells.said.push(`${quantity.label}: ${format(mean)}`);
    cells.more.push(describeValue(quantity, { mean, ...others }, at));
    if (!roomy || mean === null) continue;
    const ink = inks[(mean - low) / (high - low || 1) < 0.6 ? "light" : "dark"];
    ink.x.push(i);
    ink.y.push(y);
    ink.text.push(writeMinus(mean.toFixed(digits).replace(/^-(0\.?0*)$/, "$1")));
  }
  mapSources.cells.data = cells;
  for (const [name, ink] of Object.entries(inks)) mapSources[name].data = ink;
  if (known.length) {
    const ends = high > low ? { low, high } : { low: low - 0.1, high: high + 0.1 };
    mapSources.colours.setv(ends);
    setTicks(
      mapSources.bar,
      listTicks(ends.low, ends.high, size < 0.01 * Math.abs(high) ? 2 : 5).map((v) => [v, formatTick(v)]),
    );
  }
  markCell(place);
  const { x_range, y_range, below, left } = plots.map;
  setRange(x_range, -0.5, across.order.length - 0.5);
  setRange(y_range, -0.5, upwards.order.length - 0.5);
  const ticks = thinLabels(across, width);
  setTicks(below[0], ticks);
  setTicks(left[0], thinLabels(upwards, 400, 20));
  plots.map.height = Math.min(240 + upwards.order.length * 14, 560) + turnLabels(below[0], ticks, width);
  below[0].axis_label = DATA.dims[across.dim].label;
  left[0].axis_label = DATA.dims[upwards.dim].label;
}

// Labels of an axis of the map at their places; of many numbers as many as have room.
function thinLabels({ dim, order }, length, each = 0) {
  const { labels, numeric } = DATA.dims[dim];
  const longest = Math.max(...labels.map((label) => label.length)) * 7 + 8;
  const skip = numeric ? Math.ceil((order.length * (each || longest)) / length) : 1;
  return order.map((k, i) => [i, labels[k]]).filter((_, i) => i % skip === 0);
}
