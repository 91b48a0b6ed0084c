// Runs before everything else of the page, as soon as it is there itself.
import { askEarly } from "./api/early";

askEarly(location);
