// Time on a line where something happens, folded where nothing does: a stretch without a beginning or an end takes no more than its
// share of the line and is marked.

export interface Scale {
  at: (time: number) => number; // 0 to 1
  folds: number[]; // 0 to 1: middles of the stretches that were shortened
  stops: { time: number; at: number }[]; // every event, in order
}

const kFoldFactor = 3; // a stretch that is shortened by less is drawn as it is

// `times` in any unit; at least one.
export function foldedScale(times: number[]): Scale {
  const events = [...new Set(times)].sort((a, b) => a - b);
  const lengths = events.slice(1).map((time, i) => time - events[i]!);
  const cap = capOf(lengths);
  const drawn = lengths.map((length) => Math.min(length, cap));
  const total = drawn.reduce((sum, length) => sum + length, 0) || 1;
  const stops = events.map((time) => ({ time, at: 0 }));
  const folds: number[] = [];
  for (let i = 0, sum = 0; i < drawn.length; ++i) {
    if (lengths[i]! > kFoldFactor * drawn[i]!) folds.push((sum + drawn[i]! / 2) / total);
    sum += drawn[i]!;
    stops[i + 1]!.at = sum / total;
  }
  const at = (time: number) => {
    if (time <= events[0]!) return 0;
    for (let i = 1; i < stops.length; ++i) {
      const [a, b] = [stops[i - 1]!, stops[i]!];
      if (time <= b.time) return a.at + ((time - a.time) / (b.time - a.time)) * (b.at - a.at);
    }
    return 1;
  };
  return { at, folds, stops };
}

// The longest stretch that is drawn whole: no single one takes more than a fifth above its fair share of the line.
function capOf(lengths: number[]): number {
  let cap = Math.max(0, ...lengths);
  if (lengths.length < 2) return cap;
  const share = 1.2 / lengths.length;
  for (let i = 0; i < 400; ++i) {
    const next = share * lengths.reduce((sum, length) => sum + Math.min(length, cap), 0);
    if (next >= cap * (1 - 1e-9)) break;
    cap = next;
  }
  return cap;
}
