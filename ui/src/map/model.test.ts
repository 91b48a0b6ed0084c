import { expect, test } from "vitest";
import type { Service, ServiceLink } from "../api/types";
import { linkFilter, serviceFilter } from "./filters";
import { kBandMax, modelOf } from "./model";
import { pathOf, Places } from "./places";

const program = (name: string, host: string): Service => ({ kind: "program", name, host });
const address = (name: string): Service => ({ kind: "address", name, host: null });
const link = (from: Service, to: Service, count = 1, failed = 0): ServiceLink => ({ from, to, port: "443/tcp", count, failed, open: 0, bytes_out: 10, bytes_in: 20, first: "2026-11-22T12:00:00Z", last: "2026-11-22T12:01:00Z" });

const estate = [
  link(address("192.0.2.7"), program("haproxy", "lb"), 5),
  link(program("haproxy", "lb"), program("python3", "web-7"), 5),
  link(program("python3", "web-7"), program("postgres", "db"), 9, 2),
  link(program("python3", "web-7"), address("198.51.100.9"), 1),
  link(program("cron", "web-7"), address("198.51.100.9"), 2),
];

test("bands say how each service takes part", () => {
  const { nodes, edges } = modelOf(estate);
  const band = Object.fromEntries(nodes.map((node) => [node.name, node.band]));
  expect(band).toEqual({ "192.0.2.7": "clients", cron: "clients", haproxy: "edge", python3: "services", postgres: "backends", "198.51.100.9": "outside" });
  expect(edges[0]).toMatchObject({ count: 9, failed: 2 });
  expect(nodes.find((node) => node.name === "python3")!.count).toBe(15);
});

test("a loopback address is never outside", () => {
  const { nodes } = modelOf([link(program("python3", "web-7"), address("127.0.0.1"), 3), link(program("python3", "web-7"), address("203.0.113.9"), 1)]);
  expect(Object.fromEntries(nodes.map((node) => [node.name, node.place]))).toEqual({ python3: "web-7", "127.0.0.1": "own host", "203.0.113.9": "outside" });
});

test("the order of the answer changes nothing", () => {
  expect(modelOf([...estate].reverse()).nodes.map((node) => node.key)).toEqual(modelOf(estate).nodes.map((node) => node.key));
});

test("addresses of one network are one box, a program on many hosts too, and the rest of a band is counted", () => {
  const many = [
    ...Array.from({ length: 30 }, (_, i) => link(address(`10.8.1.${i}`), program("haproxy", "lb"))),
    ...Array.from({ length: 8 }, (_, i) => link(program("prometheus", "mon"), program("node_exporter", `h${i}`))),
    ...Array.from({ length: 40 }, (_, i) => link(program("job", "cron"), address(`198.51.${i}.9`), 40 - i)),
  ];
  const { nodes, edges } = modelOf(many);
  expect(nodes.find((node) => node.name === "10.8.1.0/24")!.place).toBe("30 addresses");
  expect(nodes.find((node) => node.name === "node_exporter")!.place).toBe("8 hosts");
  const outside = nodes.filter((node) => node.band === "outside");
  expect(outside.length).toBe(kBandMax);
  expect(outside.at(-1)).toMatchObject({ name: `${40 - kBandMax + 1} more`, rest: 40 - kBandMax + 1 });
  expect(edges.reduce((sum, edge) => sum + edge.count, 0)).toBe(many.reduce((sum, one) => sum + one.count, 0));
});

test("boxes keep their places while others come and go", () => {
  const places = new Places();
  const first = modelOf(estate);
  places.take(first);
  const before = places.layout(first, 900, 600).at;
  const more = modelOf([...estate, link(program("aaa", "web-7"), program("postgres", "db"), 99), link(address("192.0.2.1"), program("haproxy", "lb"))]);
  places.take(more);
  const after = places.layout(more, 900, 600);
  for (const [key, place] of before) expect(after.at.get(key)).toEqual(place);
  const y = (name: string) => [...after.at].find(([key]) => key.includes(name))![1].y;
  expect(y("aaa")).toBeGreaterThan(y("cron"));
  const fewer = modelOf(estate.slice(1));
  expect(places.layout(fewer, 900, 600).at.get("program cron web-7")).toEqual(before.get("program cron web-7"));
});

test("lines lead from side to side, and around within a band", () => {
  expect(pathOf({ x: 0, y: 0 }, { x: 300, y: 0 }, []).path).toBe("M128 21H300");
  expect(pathOf({ x: 300, y: 0 }, { x: 0, y: 0 }, []).path).toBe("M300 21H128");
  expect(pathOf({ x: 0, y: 0 }, { x: 0, y: 100 }, []).path).toMatch(/^M128 21C.* 128 121$/);
  // A box in between: the line passes below or above it, never behind.
  expect(pathOf({ x: 0, y: 0 }, { x: 600, y: 0 }, [{ x: 300, y: 0 }]).path).toMatch(/296 -8H432/);
});

test("the filter finds a pair's connections", () => {
  expect(linkFilter(estate[3]!)).toBe("host:web-7 exe:python3 direction:out dst.ip:198.51.100.9 dst.port:443 proto:tcp");
  expect(linkFilter(estate[0]!)).toBe("host:lb exe:haproxy direction:in src.ip:192.0.2.7 dst.port:443 proto:tcp");
  expect(serviceFilter({ kind: "container", name: "reports", host: "app-2" })).toBe("host:app-2 (container.name:reports or container:reports*)");
  expect(serviceFilter(address("2001:db8::1"))).toBe("ip:2001:db8::1");
});
