"use strict";

const redoc = document.getElementById("redoc");
Redoc.init(redoc.dataset.url, { nativeScrollbars: true }, redoc);
