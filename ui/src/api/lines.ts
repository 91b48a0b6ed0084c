// Streams of bytes cut into lines, and lines into server-sent events (WHATWG HTML, section 9.2).

// Calls `line` for each line; "\n", "\r\n" and a last line without an end all count. Give null at the end of the stream.
export function lineCutter(line: (text: string) => void): (chunk: Uint8Array | null) => void {
  const decoder = new TextDecoder();
  let rest = "";
  return (chunk) => {
    rest += chunk === null ? decoder.decode() : decoder.decode(chunk, { stream: true });
    let from = 0;
    for (let at = rest.indexOf("\n"); at >= 0; at = rest.indexOf("\n", from)) {
      line(rest.slice(from, at > from && rest[at - 1] === "\r" ? at - 1 : at));
      from = at + 1;
    }
    rest = rest.slice(from);
    if (chunk === null && rest !== "") line(rest);
  };
}

export interface ServerEvent {
  type: string;
  id: string; // the newest id of the stream; "" before the first
  data: string;
}

// Takes lines and calls `event` at each empty line that ends an event with data.
export function eventParser(event: (event: ServerEvent) => void): (line: string) => void {
  let type = "";
  let id = "";
  let data: string[] = [];
  return (line) => {
    if (line === "") {
      if (data.length > 0) event({ type: type === "" ? "message" : type, id, data: data.join("\n") });
      type = "";
      data = [];
      return;
    }
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") type = value;
    else if (name === "data") data.push(value);
    else if (name === "id" && !value.includes("\0")) id = value;
  };
}
