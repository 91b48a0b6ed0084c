import "./first";
import { mount } from "svelte";
import App from "./app.svelte";
import { book } from "./state/book.svelte";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/search.css";
import "./styles/record.css";
import "./styles/who.css";
import "./styles/trace.css";
import "./styles/map.css";
import "./styles/ledger.css";
import "./styles/start.css";
import "./styles/states.css";
import "./styles/phone.css";

book.start();
mount(App, { target: document.body });
