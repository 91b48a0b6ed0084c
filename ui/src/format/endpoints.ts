// Endpoints as page texts: the prefix that is ours apart from the rest, the port apart from both and never cut.

export interface Endpoint {
  ip: string;
  port: string; // decimal; "" where the endpoint has none
}

// "10.8.3.17:51420", "[2001:db8::1]:53", or a bare address.
export function parseEndpoint(text: string): Endpoint {
  const v6 = /^\[([^\]]+)\](?::(\d+))?$/.exec(text);
  if (v6) return { ip: v6[1]!, port: v6[2] ?? "" };
  const v4 = /^([^:]+):(\d+)$/.exec(text);
  return v4 ? { ip: v4[1]!, port: v4[2]! } : { ip: text, port: "" };
}

export function endpointText(ip: string, port: number | undefined): string {
  const host = ip.includes(":") ? `[${ip}]` : ip;
  return port === undefined ? host : `${host}:${port}`;
}

// Prefixes that the book's own addresses share: two numbers of a large private IPv4 network, three of others, four groups of IPv6.
export function prefixesOf(claimed: string[]): string[] {
  return [...new Set(claimed.map(prefixOf))].filter((prefix) => prefix !== "");
}

function prefixOf(ip: string): string {
  if (ip.includes(":")) {
    const groups = ip.split("::")[0]!.split(":");
    return groups.length >= 4 ? `${groups.slice(0, 4).join(":")}:` : ip.startsWith("fe80:") ? "fe80:" : "";
  }
  const numbers = ip.split(".");
  const large = numbers[0] === "10" || (numbers[0] === "172" && Number(numbers[1]) >= 16 && Number(numbers[1]) < 32);
  return `${numbers.slice(0, large ? 2 : 3).join(".")}.`;
}

// The address in two parts: ours, to be dimmed, and the rest.
export function splitPrefix(ip: string, prefixes: string[]): [string, string] {
  const prefix = prefixes.find((candidate) => ip.startsWith(candidate)) ?? "";
  return [prefix, ip.slice(prefix.length)];
}

// At most `characters` of "ip:port" or "[ip]:port": IPv4 loses its first numbers, IPv6 its middle; the port stays whole.
export function fitted(endpoint: Endpoint, characters: number): string {
  const { ip, port } = endpoint;
  const room = characters - (port === "" ? 0 : port.length + 1) - (ip.includes(":") ? 2 : 0);
  if (ip.length <= room) return ip;
  if (!ip.includes(":")) {
    const numbers = ip.split(".");
    while (numbers.length > 1 && numbers.join(".").length + 2 > room) numbers.shift();
    return `….${numbers.join(".")}`;
  }
  const groups = ip.split(":");
  const tail = groups.slice(-2).join(":");
  const first = `${groups[0]}:…:${tail}`;
  if (first.length <= room) return first;
  return `…:${tail.length + 2 <= room ? tail : groups.at(-1)}`;
}
