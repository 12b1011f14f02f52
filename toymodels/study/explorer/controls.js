// The state of the page, and the controls that change it.

const find = (id) => document.getElementById(id);
const state = {
  quantity: null,
  x: null,
  lines: null,
  rows: null,
  at: {},
  seeds: "mean",
  vertical: "slice",
  focus: null,
  preview: null,
};
const [plots, views, sources, mapSources] = [{}, {}, {}, {}];

const isLong = (dim) => sizeOf(dim) > 1;
const shownFocus = () =>
  state.preview && state.rows === state.lines ? state.preview[state.rows] : state.focus;

function make(kind, properties = {}, ...children) {
  const element = Object.assign(document.createElement(kind), properties);
  element.append(...children);
  return element;
}

// The label that a page opens with: the end of what runs in time, the middle of other numbers.
function chooseLabel(dim) {
  if (!DATA.dims[dim].numeric || dim === "seed") return 0;
  return findOrder(dim).at(/epoch|step|generation|time/.test(dim) ? -1 : Math.floor(sizeOf(dim) / 2));
}

// The place whose slice is shown: as chosen, or where the pointer is on the map.
function shownPlace() {
  const seed = typeof state.seeds === "number" && state.quantity.seeds ? state.seeds : null;
  return { ...state.at, seed, ...state.preview };
}

function freeDims() {
  return state.quantity.dims.filter(isLong);
}

// Dimensions that can lie along the horizontal axis.
function listAxes() {
  const { quantity } = state;
  return [...freeDims(), ...(quantity.seeds && isLong("seed") ? ["seed"] : [])];
}

// How well a dimension serves as the horizontal axis: overlaps first, numbers before names.
function rankAxis(dim) {
  if (dim === "seed" || dim === "rho") return dim === "rho" ? 1e6 : 0;
  return DATA.dims[dim].numeric ? 1000 + sizeOf(dim) : sizeOf(dim);
}

// Makes the axes fit the quantity, and keeps those that do.
function chooseAxes() {
  const axes = listAxes();
  if (!axes.includes(state.x)) {
    const best = [...axes].sort((a, b) => rankAxis(b) - rankAxis(a))[0];
    state.x = best ?? state.quantity.dims[0] ?? "seed";
  }
  const others = axes.filter((dim) => dim !== state.x && dim !== "seed");
  if (state.lines === state.x || (state.lines && !others.includes(state.lines)) || state.lines === null) {
    const names = others.find((dim) => !DATA.dims[dim].numeric && sizeOf(dim) <= 8);
    state.lines = names ?? others.find((dim) => sizeOf(dim) <= 12) ?? "";
  }
  if (!others.includes(state.rows)) state.rows = state.lines || others[0] || null;
  if (!state.quantity.seeds) state.seeds = "mean";
  if (state.focus !== null && !(state.lines && state.focus < sizeOf(state.lines))) state.focus = null;
}

function addSelect(parent, label, options, chosen, choose) {
  const select = make("select");
  select.dataset.label = label;
  for (const [value, text] of options) {
    select.append(make("option", { value, textContent: text, selected: value === chosen }));
  }
  select.addEventListener("change", () => choose(select.value));
  parent.append(make("label", { className: "control" }, make("span", { textContent: label }), select));
}

function addSlider(parent, dim) {
  const order = findOrder(dim);
  const output = make("output", { textContent: DATA.dims[dim].labels[state.at[dim]] });
  const input = make("input", {
    type: "range",
    min: 0,
    max: order.length - 1,
    value: order.indexOf(state.at[dim]),
  });
  input.setAttribute("aria-valuetext", output.textContent);
  input.addEventListener("input", () => {
    state.at[dim] = order[input.value];
    output.textContent = DATA.dims[dim].labels[state.at[dim]];
    input.setAttribute("aria-valuetext", output.textContent);
    draw();
  });
  parent.append(
    make(
      "label",
      { className: "control" },
      make("span", {}, make("span", { textContent: DATA.dims[dim].label }), output),
      input,
    ),
  );
}

const listLabels = (dims) => dims.map((dim) => [dim, DATA.dims[dim].label]);

// Makes all controls anew; the one that has the keyboard keeps it.
function buildControls() {
  const held = document.activeElement?.dataset.label;
  const { quantity, x, lines } = state;
  const form = find("controls");
  form.replaceChildren();
  find("map-controls").replaceChildren();
  const others = listAxes().filter((dim) => dim !== x && dim !== "seed");
  const quantities = DATA.quantities.map(({ name, label }) => [name, label]);
  addSelect(form, "Quantity", quantities, quantity.name, chooseQuantity);
  addSelect(form, "Horizontal axis", listLabels(listAxes()), x, (value) => change({ x: value }));
  if (others.length) {
    addSelect(form, "A line for each", [...listLabels(others), ["", "(one line)"]], lines, (value) => {
      const linked = state.rows === lines && value;
      change({ lines: value, focus: null, rows: linked ? value : state.rows });
    });
  }
  if (quantity.seeds && isLong("seed") && x !== "seed") addSeeds(form);
  const ways = [
    ["slice", "fits these curves"],
    ["all", "fits all curves"],
    ["logarithmic", "logarithmic"],
  ];
  addSelect(form, "Vertical axis", ways, state.vertical, (value) => change({ vertical: value }));
  for (const dim of freeDims().filter((d) => d !== x && d !== lines)) {
    if (DATA.dims[dim].numeric) addSlider(form, dim);
    else addNames(form, dim);
  }
  find("map").hidden = !hasMap();
  if (hasMap() && others.length > 1) {
    addSelect(find("map-controls"), "Rows of the map", listLabels(others), state.rows, (value) =>
      change({ rows: value }),
    );
  }
  [...document.querySelectorAll("select")].find(({ dataset }) => dataset.label === held)?.focus();
}

function addSeeds(form) {
  const own = DATA.dims.seed.labels.map((label, i) => [String(i), `seed ${label}`]);
  const options = [["mean", "mean with 95 % interval"], ["every", "mean, interval and every seed"], ...own];
  addSelect(form, "Seeds", options, String(state.seeds), (value) => {
    change({ seeds: own.some(([i]) => i === value) ? Number(value) : value });
  });
}

function addNames(form, dim) {
  const { label, labels } = DATA.dims[dim];
  addSelect(
    form,
    label,
    labels.map((text, i) => [String(i), text]),
    String(state.at[dim]),
    (i) => {
      state.at[dim] = Number(i);
      draw();
    },
  );
}

function change(values) {
  Object.assign(state, values, { preview: null });
  rebuild();
}

const hasMap = () => Boolean(state.rows) && state.x !== "seed";
