// Bars as SVG: its attributes give their lengths, since the page's policy forbids inline styles.

const SVG = "http://www.w3.org/2000/svg";

/** Rectangles side by side: [class, x, width] each, in hundredths of the whole. Without a label it is decoration for
    the text beside it. */
export function bars(parts, label) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 100 8");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("class", "bar");
  if (label === undefined) svg.setAttribute("aria-hidden", "true");
  else {
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", label);
  }
  svg.append(...parts.map(rectangle));
  return svg;
}

function rectangle([kind, x, width]) {
  const made = document.createElementNS(SVG, "rect");
  for (const [name, value] of Object.entries({ class: kind, x, y: 0, width, height: 8 })) made.setAttribute(name, value);
  return made;
}
