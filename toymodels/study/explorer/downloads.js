// Hands out what is shown: numbers as CSV, and pictures with their heading and legend.

function offer(name, content, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const fileName = (part, kind) =>
  `${DATA.name}_${state.quantity.name}_${part}.${kind}`.replace(/[^\w.-]+/g, "_");

// Every point of a chart in a row: its labels, mean, interval and n, then the values of the seeds.
function writeTable(places) {
  const { quantity } = state;
  const single = places[0].seed !== null && quantity.n.length > 0;
  const withSeeds = quantity.seeds && !single;
  const seeds = withSeeds ? DATA.dims.seed.labels.map((s) => `seed_${s}`) : [];
  const head = [
    ...quantity.dims,
    ...(single ? ["seed", "value"] : ["mean", "ci_low", "ci_high", "n", ...seeds]),
  ];
  const rows = places.map((place) => {
    const labels = quantity.dims.map((dim) => DATA.dims[dim].values[place[dim]]);
    const { mean, low, high, n } = read(quantity, place);
    if (single) return [...labels, DATA.dims.seed.labels[place.seed], mean];
    return [...labels, mean, low, high, n, ...(withSeeds ? readSeeds(quantity, place) : [])];
  });
  const cell = (value) => {
    const text = value === null ? "" : String(value);
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [head, ...rows].map((row) => row.map(cell).join(",")).join("\n") + "\n";
}

function wrapText(text, width) {
  return text.split(" ").reduce((lines, word) => {
    const last = lines.at(-1);
    if (last && last.length + word.length < width / 6.2) return [...lines.slice(0, -1), `${last} ${word}`];
    return [...lines, word];
  }, []);
}

// A chart as SVG, below its heading and above its legend.
async function composePicture(view, heading, legend) {
  const { width, height } = view.bbox;
  const own = await view.export("svg", false).to_blob();
  const chart = new DOMParser().parseFromString(await own.text(), "image/svg+xml").documentElement;
  const space = "http://www.w3.org/2000/svg";
  const picture = document.createElementNS(space, "svg");
  const put = (kind, attributes, text = "") => {
    const element = document.createElementNS(space, kind);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.textContent = text;
    return picture.appendChild(element);
  };
  const font = { "font-family": "system-ui, sans-serif", "font-size": 12, fill: "#222222" };
  const lines = heading.flatMap((text) => wrapText(text, width - 20));
  const back = put("rect", { width, fill: "white" });
  let y = 6;
  lines.forEach((text, i) =>
    put("text", { ...font, "font-weight": i ? 400 : 700, x: 10, y: (y += 17) }, text),
  );
  y += 8;
  chart.setAttribute("y", y);
  picture.appendChild(chart);
  y += height + 6;
  let x = 10;
  for (const { label, colour, dash } of legend) {
    const room = 34 + 6.6 * label.length;
    if (x > 10 && x + room > width) [x, y] = [10, y + 18];
    put("line", {
      x1: x,
      x2: x + 20,
      y1: y + 8,
      y2: y + 8,
      stroke: colour,
      "stroke-width": 3,
      "stroke-dasharray": dash.join(" "),
    });
    put("text", { ...font, x: x + 26, y: y + 12 }, label);
    x += room + 10;
  }
  const whole = y + (legend.length ? 24 : 6);
  back.setAttribute("height", whole);
  for (const [name, value] of [
    ["width", width],
    ["height", whole],
    ["viewBox", `0 0 ${width} ${whole}`],
  ])
    picture.setAttribute(name, value);
  return { xml: new XMLSerializer().serializeToString(picture), width, height: whole };
}

async function offerPicture(part, kind) {
  const legend =
    part === "curves" && state.lines && sizeOf(state.lines) <= MOST_LABELLED
      ? range(sizeOf(state.lines)).map((i) => ({ label: DATA.dims[state.lines].labels[i], ...look(i) }))
      : [];
  const heading = [
    document.getElementById(`${part}-title`).textContent,
    describeSlice(shownPlace(), part === "map" ? state.rows : state.lines),
    DATA.caption,
  ];
  const { xml, width, height } = await composePicture(views[part], heading.filter(Boolean), legend);
  if (kind === "svg") return offer(fileName(part, kind), xml, "image/svg+xml");
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(xml)}`;
  await image.decode();
  const canvas = Object.assign(document.createElement("canvas"), { width: 2 * width, height: 2 * height });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  canvas.toBlob((blob) => offer(fileName(part, kind), blob));
}
