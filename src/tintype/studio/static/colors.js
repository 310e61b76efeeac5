// Colours in words, for who cannot see them or tell them apart.

const HUES = [[15, "red"], [45, "orange"], [68, "yellow"], [160, "green"], [200, "turquoise"],
  [255, "blue"], [290, "violet"], [345, "pink"], [361, "red"]];

/** "dark red" of #8a3324. */
export function named(color) {
  const [red, green, blue] = [1, 3, 5].map((k) => parseInt(color.slice(k, k + 2), 16) / 255);
  const most = Math.max(red, green, blue), least = Math.min(red, green, blue), range = most - least;
  const light = (most + least) / 2;
  const tone = light < 0.3 ? "dark " : light > 0.72 ? "light " : "";
  if (range < 0.07) return light < 0.12 ? "black" : light > 0.9 ? "white" : `${tone}gray`;
  let hue = most === red ? (green - blue) / range : most === green ? 2 + (blue - red) / range : 4 + (red - green) / range;
  hue = (hue * 60 + 360) % 360;
  const name = HUES.find(([end]) => hue < end)[1];
  if (name === "orange" && light < 0.5) return `${light < 0.3 ? "dark " : ""}brown`;
  return range < 0.2 ? `${tone}grayish ${name}` : tone + name;
}

/** A button of a colour. */
export function swatch(color, words, onChoose) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "swatch";
  button.style.background = color;
  button.dataset.color = color;
  button.setAttribute("aria-label", words);
  button.title = words;
  button.addEventListener("click", onChoose);
  return button;
}
