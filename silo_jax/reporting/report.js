// Draws the interactive figures of a page: what the controls choose, in the colours of the page.
"use strict";
(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = window.matchMedia("(max-width: 40rem)");
  const touched = window.matchMedia("(pointer: coarse)");

  // "--blue" or "--blue/0.2": a colour of the page, and how much of it.
  const coloured = (text) => {
    const [, name, share] = /^(--[a-z]+)(?:\/([\d.]+))?$/.exec(text) ?? [];
    if (!name) return text;
    const colour = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    if (!share) return colour;
    const parts = [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16));
    return `rgba(${parts.join(", ")}, ${share})`;
  };

  const resolved = (value) => {
    if (typeof value === "string") return coloured(value);
    if (Array.isArray(value)) return value.map(resolved);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, resolved(part)]));
  };

  const merged = (base, added) => {
    const result = { ...base };
    for (const [key, value] of Object.entries(added)) {
      const isPlain = value && typeof value === "object" && !Array.isArray(value);
      if (key === "shapes") result.shapes = [...(base.shapes ?? []), ...value];
      else result[key] = isPlain ? merged(base[key] ?? {}, value) : value;
    }
    return result;
  };

  const look = () => {
    const axis = {
      gridcolor: "--line", linecolor: "--soft", zeroline: false, automargin: true,
      fixedrange: touched.matches, title: { standoff: 10 },
    };
    return {
      paper_bgcolor: "rgba(0, 0, 0, 0)", plot_bgcolor: "rgba(0, 0, 0, 0)",
      font: { family: "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", size: 13,
        color: "--ink" },
      margin: { l: 8, r: 12, t: 28, b: 8 }, height: narrow.matches ? 380 : 440,
      dragmode: touched.matches ? false : "zoom", hovermode: "closest",
      hoverlabel: { bgcolor: "--ground", bordercolor: "--soft", font: { color: "--ink" } },
      legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0 },
      xaxis: axis, yaxis: axis, xaxis2: axis, yaxis2: axis,
    };
  };

  const chosen = (form) => {
    const found = {};
    for (const field of form?.elements ?? []) {
      if (field.tagName === "SELECT") found[field.name] = new Set([field.value]);
      if (field.type === "checkbox") {
        found[field.name] ??= new Set();
        if (field.checked) found[field.name].add(field.value);
      }
    }
    return found;
  };

  // A control with a single option is not on the page, and chooses nothing.
  const isShown = (part, choice) =>
    Object.entries(part.pick).every(([name, values]) =>
      !choice[name] || values.some((value) => choice[name].has(value)));

  const draw = (figure) => {
    const choice = chosen(figure.form);
    const named = new Set();
    const traces = figure.data.traces.filter((part) => isShown(part, choice)).map((part) => {
      const trace = { ...part.content };
      if (trace.showlegend !== false) {
        trace.showlegend = !named.has(trace.name);
        named.add(trace.name);
      }
      return resolved(trace);
    });
    const layout = figure.data.layouts
      .filter((part) => isShown(part, choice))
      .reduce((sum, part) => merged(sum, part.content), look());
    for (const name of ["xaxis2", "yaxis2"]) {
      if (!figure.data.layouts.some((part) => part.content[name])) delete layout[name];
    }
    const options = { responsive: true, displaylogo: false, displayModeBar: false };
    return Plotly.react(figure.place, traces, resolved(layout), options);
  };

  const figures = [...document.querySelectorAll(".interactive")].map((element) => ({
    form: element.querySelector("form"),
    place: element.querySelector(".plot"),
    data: JSON.parse(element.querySelector("script[type='application/json']").textContent),
  }));
  for (const figure of figures) {
    if (figure.form) {
      figure.form.hidden = false;
      figure.form.addEventListener("change", () => draw(figure));
      figure.form.addEventListener("submit", (event) => event.preventDefault());
      for (const button of figure.form.querySelectorAll("button")) {
        button.addEventListener("click", () => {
          const boxes = button.closest("fieldset").querySelectorAll("input");
          for (const box of boxes) box.checked = button.value === "all";
          draw(figure);
        });
      }
    }
    draw(figure);
  }
  const drawAll = () => figures.forEach(draw);
  for (const query of [dark, narrow, touched]) query.addEventListener("change", drawAll);
})();
