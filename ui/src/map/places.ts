// Where each box stands. A box keeps its place while the map follows the newest: what comes later takes the first free place of its
// band, what is gone leaves its place empty.
import { type Band, kBands, type MapEdge, type MapModel } from "./model";

export const kBoxWidth = 128;
export const kBoxHeight = 42;
const kPitch = 58;
const kTop = 44;
const kBandMin = 168;

export interface Spot {
  band: Band;
  slot: number;
}
export interface Place {
  x: number;
  y: number;
}

export class Places {
  private readonly spots = new Map<string, Spot>();
  private readonly pitches = new Map<Band, number>();
  private sized = "";

  // Gives a place to each box that has none.
  take(model: MapModel): void {
    for (const node of model.nodes) {
      if (this.spots.has(node.key)) continue;
      const taken = new Set([...this.spots.values()].filter(({ band }) => band === node.band).map(({ slot }) => slot));
      let slot = 0;
      while (taken.has(slot)) ++slot;
      this.spots.set(node.key, { band: node.band, slot });
    }
  }

  // Boxes and bands on a canvas that wide and high; it grows where they need more. How far apart the boxes of a band stand is settled
  // when the band is first drawn at that size.
  layout(model: MapModel, width: number, height: number): Layout {
    const each = Math.max(kBandMin, Math.floor(width / kBands.length));
    if (this.sized !== `${width} ${height}`) this.pitches.clear();
    this.sized = `${width} ${height}`;
    const at = new Map<string, Place>();
    let bottom = height;
    for (const band of kBands) {
      const shown = model.nodes.map((node) => ({ key: node.key, ...this.spots.get(node.key)! })).filter((one) => one.band === band);
      if (shown.length === 0) continue;
      const slots = 1 + Math.max(...shown.map(({ slot }) => slot));
      const room = height - kTop - 16;
      const pitch = this.pitches.get(band) ?? Math.max(kPitch, Math.min(104, room / slots));
      this.pitches.set(band, pitch);
      for (const { key, slot } of shown) at.set(key, { x: Math.round(kBands.indexOf(band) * each + (each - kBoxWidth) / 2), y: Math.round(kTop + slot * pitch + (pitch - kBoxHeight) / 2) });
      bottom = Math.max(bottom, kTop + slots * pitch + 16);
    }
    return { at, bands: kBands.map((band, i) => ({ band, x: i * each, width: each })), width: each * kBands.length, height: bottom };
  }
}

export interface Layout {
  at: Map<string, Place>;
  bands: { band: Band; x: number; width: number }[];
  width: number;
  height: number;
}

// From side to side of two boxes, between the boxes of the bands on the way; within a band around the right. `boxes` are all places.
export function pathOf(from: Place, to: Place, boxes: Iterable<Place>, shift = 0): { path: string; label: Place } {
  const [y1, y2] = [from.y + kBoxHeight / 2 + shift, to.y + kBoxHeight / 2 + shift];
  if (from.x === to.x) {
    const x = from.x + kBoxWidth;
    const bend = 26 + Math.min(30, Math.abs(y2 - y1) / 12);
    return { path: `M${x} ${y1}C${x + bend} ${y1} ${x + bend} ${y2} ${x} ${y2}`, label: { x: x + bend * 0.75, y: (y1 + y2) / 2 } };
  }
  const right = to.x > from.x;
  const [x1, x2] = right ? [from.x + kBoxWidth, to.x] : [from.x, to.x + kBoxWidth];
  const columns = new Map<number, number[]>();
  for (const { x, y } of boxes) if (right ? x > from.x && x < to.x : x < from.x && x > to.x) columns.set(x, [...(columns.get(x) ?? []), y]);
  const order = [...columns].sort(([a], [b]) => (right ? a - b : b - a));
  let path = `M${x1} ${y1}`;
  let here = { x: x1, y: y1 };
  for (const [x, tops] of order) {
    const straight = y1 + ((y2 - y1) * (x + kBoxWidth / 2 - x1)) / (x2 - x1);
    const y = freeLane(tops, straight - shift) + shift;
    const [enter, leave] = right ? [x - 4, x + kBoxWidth + 4] : [x + kBoxWidth + 4, x - 4];
    path += `${bendTo(here, { x: enter, y })}H${leave}`;
    here = { x: leave, y };
  }
  path += bendTo(here, { x: x2, y: y2 });
  const first = order.length === 0 ? { x: x2, y: y2 } : { x: right ? order[0]![0] : order[0]![0] + kBoxWidth, y: y1 + ((y2 - y1) * 0.1) };
  return { path, label: { x: x1 + 0.36 * (first.x - x1), y: y1 + 0.3 * (first.y - y1) } };
}

function bendTo(from: Place, to: Place): string {
  const bend = (to.x - from.x) / 2;
  return from.y === to.y ? `H${to.x}` : `C${from.x + bend} ${from.y} ${to.x - bend} ${to.y} ${to.x} ${to.y}`;
}

// The height nearest to `wish` at which a line passes boxes with these tops without touching one.
function freeLane(tops: number[], wish: number): number {
  const clear = 8;
  const touches = (y: number) => tops.some((top) => y > top - clear && y < top + kBoxHeight + clear);
  if (!touches(wish)) return wish;
  const lanes = tops.flatMap((top) => [top - clear, top + kBoxHeight + clear]).filter((y) => !touches(y));
  return lanes.reduce((best, y) => (Math.abs(y - wish) < Math.abs(best - wish) ? y : best), Infinity);
}

// Logarithmic: 1 connection is a hairline.
export const widthOf = (edge: MapEdge): number => 0.9 + 0.85 * Math.log10(Math.max(1, edge.count));
