// A script that shows <img src="a.splat">: <script type="module" src=".../replace.js"></script>
import { replaceImages } from "./element.js";

replaceImages();
