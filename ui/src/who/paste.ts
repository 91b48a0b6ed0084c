// Whether a text is worth asking Who about: it holds an endpoint and a time. The book itself reads the text; this only decides
// whether a paste opens Who.

const kEndpoint = /(?:^|[^\d.])\d{1,3}(?:\.\d{1,3}){3}:\d{1,5}(?!\d)|\[[0-9a-f:.]+\]:\d{1,5}/i;
const kTimes = [
  /\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?/, // RFC 3339
  /\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d/, // common log format
  /[A-Z][a-z]{2} +\d{1,2} \d\d:\d\d:\d\d/, // syslog
  /(?:^|\D)1\d{9}(?:\.\d+|\d{3}|\d{6}|\d{9})?(?!\d)/, // seconds and finer since 1970
];

export function holdsEndpointAndTime(text: string): boolean {
  return text.length <= 20_000 && kEndpoint.test(text) && kTimes.some((time) => time.test(text));
}
