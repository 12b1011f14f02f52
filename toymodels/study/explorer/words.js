// What the page says: of the slice, the chosen point, the limits of the numbers, and their origin.

// What is fixed where two dimensions lie on axes: the horizontal one and another.
function describeSlice(place, other) {
  const fixed = state.quantity.dims.filter((dim) => dim !== state.x && dim !== other);
  if (place.seed !== null && state.x !== "seed") fixed.push("seed");
  return fixed
    .map((dim, i) => (i ? nameLabel(dim, place[dim]) : begin(nameLabel(dim, place[dim]))))
    .join(", ");
}

function writeWords(lines, place) {
  const { quantity, x } = state;
  find("slice").textContent = describeSlice(place, state.lines);
  find("map-slice").textContent =
    hasMap() && state.rows !== state.lines ? describeSlice(place, state.rows) : "";
  const name = begin(quantity.label);
  find("curves-title").textContent = state.lines ? `${name}, by ${DATA.dims[state.lines].label}` : name;
  find("map-title").textContent = hasMap() ? `Map of ${quantity.label}` : "";
  find("description").textContent = quantity.description;
  find("legend").replaceChildren(...listButtons());
  const found = read(quantity, place);
  const where = [x, ...(state.lines ? [state.lines] : [])]
    .map((dim) => nameLabel(dim, place[dim]))
    .join(", ");
  const about = x === "seed" ? "" : ` (${describeValue(quantity, found, place)})`;
  find("point").replaceChildren(
    make("span", { textContent: `${name} ` }),
    make("b", { textContent: format(found.mean) }),
    `${about} at ${where}`,
  );
  find("point").style.borderLeftColor = pointColour(state.lines ? place[state.lines] : 0, place[x]);
  const seeds = readSeeds(quantity, place);
  if (seeds.length > 1 && seeds.length <= 20)
    find("point").append(make("small", { textContent: `Seeds: ${seeds.map(format).join(", ")}` }));
  find("warnings").replaceChildren(...listWarnings(lines).map((textContent) => make("li", { textContent })));
}

function listButtons() {
  if (!state.lines || sizeOf(state.lines) > MOST_LABELLED) return [];
  return DATA.dims[state.lines].labels.map((label, i) => {
    const { colour, dash } = look(i);
    const swatch = make("i", { className: dash.length ? "dashed" : "" });
    swatch.style.borderTopColor = colour;
    const button = make("button", { type: "button" }, swatch, label);
    button.setAttribute("aria-pressed", String(shownFocus() === i));
    button.addEventListener("click", () => {
      state.focus = state.focus === i ? null : i;
      state.at[state.lines] = i;
      draw();
    });
    return button;
  });
}

// Plain sentences on what the curves can't show.
function listWarnings(lines) {
  const { quantity } = state;
  const points = lines.flatMap((line) => line.points);
  const known = points.filter(({ n }) => n !== null);
  const said = [];
  const few = known.filter(({ n }) => n < 10).map(({ n }) => n);
  if (few.length) {
    const [least, most] = [Math.min(...few), Math.max(...few)];
    const n = least === most ? `n = ${least}` : `n = ${least} to ${most}`;
    const where = few.length < known.length ? ` at ${few.length} of ${known.length} points` : "";
    const many = `Such a mean may lie far from that of many ${quantity.counted}.`;
    said.push(`Few ${quantity.counted}: ${n}${where}. ${many}`);
  }
  if (quantity.bounds) {
    const [least, most] = quantity.bounds;
    const outside = known.filter(
      ({ low, high }) => low !== null && (low < least - 1e-9 || high > most + 1e-9),
    ).length;
    const ends = `[${formatTick(least)}, ${formatTick(most)}]`;
    const why = "although this quantity cannot: Student's t knows no bounds. n is too small there.";
    if (outside) said.push(`The interval leaves ${ends} at ${outside} of ${known.length} points, ${why}`);
  }
  const lost = points.filter(({ mean }) => mean === null).length;
  if (lost) said.push(`${lost} of ${points.length} points have no value.`);
  if (state.vertical === "logarithmic" && points.some(({ mean }) => mean !== null && mean <= 0))
    said.push("Values that are not above zero have no place on a logarithmic axis.");
  if (state.vertical === "logarithmic" && points.some(({ low }) => low !== null && low <= 0))
    said.push("Intervals that reach zero or less are cut off at the end of the logarithmic axis.");
  return said;
}

// Nested values as rows of a table: [name, text] each.
function listRows(value, before = "") {
  return Object.entries(value).flatMap(([name, inner]) => {
    const whole = (before + name).replaceAll("_", " ");
    if (inner !== null && typeof inner === "object" && !Array.isArray(inner))
      return listRows(inner, `${whole}, `);
    return [[whole, Array.isArray(inner) ? inner.join(", ") : inner === null ? "not set" : String(inner)]];
  });
}

function makeTable(value) {
  const rows = listRows(value).map(([name, text]) => {
    return make("tr", {}, make("th", { textContent: name, scope: "row" }), make("td", { textContent: text }));
  });
  return make("table", {}, make("tbody", {}, ...rows));
}

const makeList = (lines) => make("ul", {}, ...lines.map((textContent) => make("li", { textContent })));

// Sections on what was found and how the result was made.
function writeAbout() {
  const { parts, config, dataset, provenance, findings } = DATA.about;
  const add = (textContent, content) => {
    find("about").append(make("details", {}, make("summary", { textContent }), make("div", {}, content)));
  };
  if (findings?.length) add("What was found", makeList(findings));
  if (DATA.notes.length) add("Remarks on this result", makeList(DATA.notes));
  if (parts) add("Parts of a user's own, in place of the experiment's", makeTable(parts));
  if (config) add("Config of this result", makeTable(config));
  if (provenance)
    add("Provenance: data, versions, commit and command", makeTable({ data: dataset, ...provenance }));
}
