import { expect, test } from "vitest";
import { eventParser, lineCutter, type ServerEvent } from "./lines";

const bytes = new TextEncoder().encode('event: row\nid: 7\ndata: {"a":"é"}\n\n: beat\r\ndata: x\r\ndata:y\r\n\r\nevent: z\n\nid: 9\ndata\n\n');

function eventsOf(chunks: Uint8Array[]): ServerEvent[] {
  const out: ServerEvent[] = [];
  const push = lineCutter(eventParser((event) => out.push(event)));
  for (const chunk of [...chunks, null]) push(chunk);
  return out;
}

test("events are the same however the stream is cut", () => {
  const whole = [
    { type: "row", id: "7", data: '{"a":"é"}' },
    { type: "message", id: "7", data: "x\ny" },
    { type: "message", id: "9", data: "" },
  ];
  for (let at = 0; at <= bytes.length; ++at) expect(eventsOf([bytes.subarray(0, at), bytes.subarray(at)])).toEqual(whole);
  expect(eventsOf(Array.from(bytes, (byte) => Uint8Array.of(byte)))).toEqual(whole);
});

test("a last line without an end is a line", () => {
  const out: string[] = [];
  const push = lineCutter((line) => out.push(line));
  push(new TextEncoder().encode("a\nb"));
  push(null);
  expect(out).toEqual(["a", "b"]);
});
