INSERT INTO fix_me.product (product_id, name, price) VALUES
    (1, 'kettle', 24.90),
    (2, 'teapot', 32.00),
    (3, 'cup', 4.50);
